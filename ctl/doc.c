/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/doc.h"

#include "lib/mem.h"

#include <ctype.h>
#include <string.h>

void doc_text(cJSON *to, const char *name, struct str value) {
    if (value.n == 0)
        return;
    char *copy = str_dup(value);
    cJSON_AddStringToObject(to, name, copy);
    mem_free(copy);
}

cJSON *doc_list(cJSON *to, const char *name) { return cJSON_AddArrayToObject(to, name); }

cJSON *doc_item(cJSON *list) {
    cJSON *item = cJSON_CreateObject();
    cJSON_AddItemToArray(list, item);
    return item;
}

static cJSON *parsed(struct out *o) {
    cJSON *j = cJSON_ParseWithLength(o->p, o->n);
    must(j); /* we have written it */
    out_fini(o);
    return j;
}

cJSON *doc_of_part(const struct model_struct *s, const void *value) {
    struct out o = out_heap(MODEL_OBJECT_MAX * 8u);
    model_json(s, value, &o);
    return parsed(&o);
}

cJSON *doc_of_object(const struct object *object) {
    struct out o = out_heap(MODEL_OBJECT_MAX * 8u);
    object_json(object, &o);
    return parsed(&o);
}

const char *doc_get(const cJSON *from, const char *name) {
    const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(from, name));
    return s ? s : "";
}

double doc_number(const cJSON *from, const char *name) {
    const cJSON *f = cJSON_GetObjectItemCaseSensitive(from, name);
    return cJSON_IsNumber(f) ? f->valuedouble : 0;
}

bool doc_true(const cJSON *from, const char *name) {
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(from, name));
}

const cJSON *doc_each(const cJSON *from, const char *name) {
    return cJSON_GetObjectItemCaseSensitive(from, name);
}

/* ---- printing ---- */

static void indent(FILE *f, unsigned depth) { fprintf(f, "%*s", (int)(depth * 2), ""); }

static void quoted(FILE *f, const char *s) {
    struct out o = out_heap(MODEL_OBJECT_MAX * 8u);
    out_json(&o, str_of(s));
    fwrite(o.p, 1, o.n, f);
    out_fini(&o);
}

static void number(FILE *f, double v) {
    if (v == (double)(int64_t)v)
        fprintf(f, "%lld", (long long)v);
    else
        fprintf(f, "%.9g", v);
}

static bool scalar(FILE *f, const cJSON *j, void (*text)(FILE *f, const char *s)) {
    if (cJSON_IsString(j))
        text(f, j->valuestring);
    else if (cJSON_IsNumber(j))
        number(f, j->valuedouble);
    else if (cJSON_IsBool(j))
        fputs(cJSON_IsTrue(j) ? "true" : "false", f);
    else if (cJSON_IsNull(j))
        fputs("null", f);
    else if (!j->child)
        fputs(cJSON_IsArray(j) ? "[]" : "{}", f);
    else
        return false;
    return true;
}

static void json(FILE *f, const cJSON *j, unsigned depth) {
    if (scalar(f, j, quoted))
        return;
    fputs(cJSON_IsArray(j) ? "[\n" : "{\n", f);
    for (const cJSON *c = j->child; c; c = c->next) {
        indent(f, depth + 1);
        if (cJSON_IsObject(j)) {
            quoted(f, c->string);
            fputs(": ", f);
        }
        json(f, c, depth + 1);
        fputs(c->next ? ",\n" : "\n", f);
    }
    indent(f, depth);
    fputs(cJSON_IsArray(j) ? "]" : "}", f);
}

/* Whether YAML reads it back as the same string without quotes; when in doubt, not. */
static bool plain(const char *s) {
    static const char *const words[] = {"true", "false", "null", "yes", "no",
                                        "on",   "off",   "y",    "n"};
    if (!isalpha((unsigned char)s[0]) && s[0] != '/')
        return false;
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (str_eq_nocase(str_of(s), str_of(words[i])))
            return false;
    for (; *s; s++)
        if (!isalnum((unsigned char)*s) && !strchr("/_.-", *s))
            return false;
    return true;
}

static void yaml_text(FILE *f, const char *s) {
    if (plain(s))
        fputs(s, f);
    else
        quoted(f, s);
}

/* The cursor stands where the first line of a collection begins. */
static void yaml(FILE *f, const cJSON *j, unsigned depth) {
    for (const cJSON *c = j->child; c; c = c->next) {
        if (c != j->child)
            indent(f, depth);
        if (cJSON_IsArray(j)) {
            fputs("- ", f);
        } else {
            yaml_text(f, c->string);
            fputc(':', f);
        }
        bool leaf = !cJSON_IsArray(c) && !cJSON_IsObject(c);
        if (leaf || !c->child) {
            if (cJSON_IsObject(j))
                fputc(' ', f);
            scalar(f, c, yaml_text);
            fputc('\n', f);
            continue;
        }
        if (cJSON_IsObject(j)) {
            fputc('\n', f);
            indent(f, depth + 1);
        }
        yaml(f, c, depth + 1);
    }
}

void doc_print(struct ctl *c, cJSON *doc) {
    if (c->format == CTL_YAML) {
        yaml(c->out, doc, 0);
    } else {
        json(c->out, doc, 0);
        fputc('\n', c->out);
    }
    cJSON_Delete(doc);
}
