/* SPDX-License-Identifier: Apache-2.0
 *
 * decoded: what the controller's decoder says of resources.
 *
 *     decoded [FILE...] <list.json        of each object of the files (YAML) or of a List
 *
 * One line of JSON an object: {"object": {...}, "refused": "field: sentence" or null}
 */
#include "controller/kube/kinds.h"
#include "controller/kube/yaml.h"
#include "lib/json.h"
#include "lib/mem.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn static void fail(const struct why *why, const char *what) {
    fprintf(stderr, "decoded: %s: %s %s\n", what, why->object, why->text);
    exit(1);
}

static void print_one(const cJSON *json) {
    const struct resource_origin nowhere = {0};
    struct why why = {0};
    bool foreign;
    struct resource *r = resource_new(json, &nowhere, &foreign, &why);
    cJSON *line = cJSON_CreateObject();
    cJSON_AddItemToObject(line, "object", cJSON_Duplicate(json, true));
    const struct why *no = r ? r->refused : &why;
    char room[sizeof(struct why)];
    if (no) {
        snprintf(room, sizeof(room), "%s%s%s", no->field, no->field[0] ? ": " : "", no->text);
        cJSON_AddStringToObject(line, "refused", room);
    } else {
        cJSON_AddNullToObject(line, "refused");
    }
    char *text = cJSON_PrintUnformatted(line);
    puts(text);
    free(text);
    cJSON_Delete(line);
    resource_drop(r);
}

static void read_one(FILE *f, enum yaml_form form, const char *name) {
    struct out o = out_heap(512 << 20);
    struct yaml y;
    struct why why = {0};
    char room[65536];
    size_t n;
    while ((n = fread(room, 1, sizeof(room), f)) > 0)
        out_bytes(&o, room, n);
    if (yaml_parse(out_done(&o), form, str_of(name), &y, &why) != 0)
        fail(&why, name);
    for (size_t i = 0; i < y.n; i++)
        print_one(y.documents[i].json);
    yaml_fini(&y);
    out_fini(&o);
}

int main(int argc, char **argv) {
    if (argc == 1)
        read_one(stdin, YAML_JSON, "-");
    for (int i = 1; i < argc; i++) {
        FILE *f = fopen(argv[i], "re");
        if (!f)
            fail(&(struct why){0}, argv[i]);
        read_one(f, YAML_YAML, argv[i]);
        fclose(f);
    }
    return 0;
}
