/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/http/signature.h"

#include "lib/chars.h"

enum {
    PARAMS_MAX = 6,
    MEMBER_PARAMS_MAX = 4, /* of a member of a dictionary that is signed */
    MAC_TEXT_MAX = 88,     /* base64 of MAC_MAX bytes */
};

static bool no(const char **detail, const char *sentence) {
    *detail = sentence;
    return false;
}

static enum signature_found bad(const char **detail, const char *sentence) {
    *detail = sentence;
    return SIGNATURE_BAD;
}

/* The text of a string or inner list with its delimiters and parameters. */
static struct str whole(const struct sfv_value *v) {
    const char *start = v->text.p - 1;
    return str_mk(start, (size_t)(v->params.p + v->params.n - start));
}

static bool is_plain_string(const struct sfv_value *v) {
    return v->type == SFV_STRING && str_find(v->text, '\\', 0) == v->text.n;
}

/* ---- which one ---- */

static bool has_tag(const struct sfv_value *v, struct str tag) {
    struct sfv_value found;
    return sfv_param_get(v, STR("tag"), &found) && is_plain_string(&found) &&
           str_eq(found.text, tag);
}

/* Of Signature-Input, all of which must be right, the member that is ours. */
static enum signature_found choose(struct str text, struct str tag, struct str *label,
                                   struct sfv_value *input, const char **detail) {
    struct sfv at;
    struct str key;
    struct sfv_value v;
    enum sfv_step step;
    unsigned n = 0, named = 0;
    sfv_begin(&at, text);
    *label = STR_NONE;
    while ((step = sfv_dictionary(&at, &key, &v)) == SFV_ONE) {
        named += label->p != NULL && str_eq(key, *label);
        if (tag.n > 0 && !has_tag(&v, tag))
            continue;
        if (n++ == 0) {
            *label = key;
            *input = v;
        }
    }
    if (step == SFV_BAD)
        return bad(detail, "Signature-Input is not a dictionary of RFC 9651");
    if (n == 0)
        return SIGNATURE_NONE;
    if (named > 0)
        return bad(detail, "Signature-Input has a label twice");
    if (n > 1 && tag.n == 0)
        return bad(detail, "there are several signatures, and no tag says which");
    return SIGNATURE_READ;
}

/* ---- what is covered ---- */

static const char *const derived[] = {"@method", "@target-uri", "@authority",     "@scheme",
                                      "@path",   "@query",      "@request-target"};

static bool is_derived(struct str name) {
    for (size_t i = 0; i < ARRAY_LEN(derived); i++)
        if (str_eq(name, str_of(derived[i])))
            return true;
    return false;
}

static bool is_field_name(struct str name) {
    for (size_t i = 0; i < name.n; i++)
        if (!char_is(name.p[i], CHAR_TOKEN) || char_lower(name.p[i]) != name.p[i])
            return false;
    return name.n > 0;
}

/* The one parameter that a component may have. */
static bool read_part_param(struct signature_part *part, const struct sfv_value *v,
                            const char **detail) {
    struct sfv at;
    struct str key;
    struct sfv_value value;
    bool query = str_eq(part->name, STR("@query-param"));
    sfv_begin(&at, v->params);
    while (sfv_param(&at, &key, &value) == SFV_ONE) {
        if (!str_eq(key, query ? STR("name") : STR("key")) || !is_plain_string(&value) ||
            part->param.p != NULL)
            return no(detail, "a component has a parameter that is not taken here (only ;key of a "
                              "field, and ;name of @query-param)");
        part->param = value.text;
    }
    if (query ? part->param.p == NULL : part->name.p[0] == '@' && part->param.p != NULL)
        return no(detail, "a derived component has not the parameters that belong to it");
    return true;
}

static bool read_part(struct signature *s, const struct sfv_value *v, const char **detail) {
    struct signature_part *part = &s->parts[s->n_parts];
    if (s->n_parts == SIGNATURE_PARTS)
        return no(detail, "more than 32 components are signed");
    if (!is_plain_string(v))
        return no(detail, "a component is not a plain string");
    *part = (struct signature_part){whole(v), v->text, STR_NONE};
    if (!is_derived(part->name) && !str_eq(part->name, STR("@query-param")) &&
        !is_field_name(part->name))
        return no(detail, "a component is neither a field in lower case nor a derived one that is "
                          "taken here");
    if (!read_part_param(part, v, detail))
        return false;
    for (unsigned i = 0; i < s->n_parts; i++)
        if (str_eq(s->parts[i].text, part->text))
            return no(detail, "a component is signed twice");
    if (str_eq(part->name, STR("content-digest")) && part->param.p == NULL)
        s->covers_digest = true;
    s->n_parts++;
    return true;
}

static bool read_parts(struct signature *s, const struct sfv_value *input, const char **detail) {
    struct sfv at;
    struct sfv_value v;
    if (input->type != SFV_INNER)
        return no(detail, "Signature-Input has no list of components");
    sfv_begin(&at, input->text);
    while (sfv_inner(&at, &v) == SFV_ONE)
        if (!read_part(s, &v, detail))
            return false;
    return true;
}

/* ---- parameters ---- */

static bool take_string(struct str *to, const struct sfv_value *v) {
    *to = v->text;
    return is_plain_string(v);
}

static bool take_time(int64_t *to, const struct sfv_value *v) {
    *to = v->number;
    return v->type == SFV_INTEGER && v->number >= 0;
}

static bool read_param(struct signature *s, struct str key, const struct sfv_value *v) {
    if (str_eq(key, STR("created")))
        return take_time(&s->created, v);
    if (str_eq(key, STR("expires")))
        return take_time(&s->expires, v);
    struct str *to = str_eq(key, STR("keyid"))   ? &s->keyid
                     : str_eq(key, STR("alg"))   ? &s->alg
                     : str_eq(key, STR("nonce")) ? &s->nonce
                     : str_eq(key, STR("tag"))   ? &s->tag
                                                 : NULL;
    return to != NULL && take_string(to, v);
}

static bool read_params(struct signature *s, const struct sfv_value *input, const char **detail) {
    struct sfv at;
    struct str key;
    struct sfv_value v;
    sfv_begin(&at, input->params);
    for (unsigned n = 0; sfv_param(&at, &key, &v) == SFV_ONE; n++)
        if (n == PARAMS_MAX || !read_param(s, key, &v))
            return no(detail, "a parameter of the signature is not known here, or not of its type");
    if (s->keyid.n == 0 || s->keyid.n > SIGNATURE_KEYID_MAX)
        return no(detail, "keyid is missing or too long");
    return true;
}

/* Parts and parameters are few by now, so that writing them costs little. */
static bool is_canonical(const struct sfv_value *input, struct str text) {
    char room[SIGNATURE_FIELD_MAX];
    struct out o = out_fixed(room, sizeof(room));
    sfv_write(&o, input);
    return !o.over && str_eq(out_done(&o), text);
}

/* ---- the signature itself ---- */

static bool read_mac(struct signature *s, struct str text, struct str label, const char **detail) {
    char bytes[MAC_TEXT_MAX + 4];
    struct out o = out_fixed(bytes, sizeof(bytes));
    struct sfv at;
    struct str key;
    struct sfv_value v, ours = {.type = SFV_BOOLEAN};
    enum sfv_step step;
    unsigned n = 0;
    sfv_begin(&at, text);
    while ((step = sfv_dictionary(&at, &key, &v)) == SFV_ONE)
        if (str_eq(key, label)) {
            ours = v;
            n++;
        }
    if (step == SFV_BAD)
        return no(detail, "Signature is not a dictionary of RFC 9651");
    if (n == 1 && ours.type == SFV_BYTES && ours.text.n <= MAC_TEXT_MAX)
        sfv_text(&ours, &o);
    if (o.n == 0 || o.n > MAC_MAX)
        return no(detail, "Signature has not one sequence of bytes, of a size that a HMAC has, by "
                          "the label of Signature-Input");
    memcpy(s->mac, bytes, o.n);
    s->mac_n = (uint8_t)o.n;
    return true;
}

/* ---- whether it is enough ---- */

/* What is a function of the target, or of the request line's, is covered by it. */
static bool implies(struct str covered, struct str name) {
    bool path = str_eq(name, STR("@path")) || str_eq(name, STR("@query"));
    if (str_eq(covered, STR("@request-target")))
        return path;
    return str_eq(covered, STR("@target-uri")) &&
           (path || str_eq(name, STR("@authority")) || str_eq(name, STR("@scheme")));
}

static bool covers(const struct signature *s, struct str name) {
    for (unsigned i = 0; i < s->n_parts; i++) {
        const struct signature_part *part = &s->parts[i];
        if (part->param.p == NULL && (str_eq(part->name, name) || implies(part->name, name)))
            return true;
    }
    return false;
}

static bool is_enough(const struct signature *s, const struct head *h,
                      const struct signature_rules *r, const char **detail) {
    for (size_t i = 0; i < r->n_parts; i++)
        if (!covers(s, r->parts[i]))
            return no(detail, "a component that the policy asks for is not signed");
    if (r->body && head_has_body(h) && !s->covers_digest)
        return no(detail, "there is a body, and content-digest is not signed");
    return true;
}

static bool is_in_time(const struct signature *s, const struct signature_rules *r, int64_t now,
                       const char **detail) {
    if (s->created < 0 && r->max_age_s > 0)
        return no(detail, "created is missing");
    if (s->created > now + r->skew_s)
        return no(detail, "created lies in the future");
    if (r->max_age_s > 0 && now - s->created > (int64_t)r->max_age_s)
        return no(detail, "created is too long ago");
    if (s->expires >= 0 && (now > s->expires || s->expires < s->created))
        return no(detail, "the signature has expired");
    return true;
}

/* ---- reading ---- */

static bool read_all(struct signature *s, const struct head *h, const struct sfv_value *input,
                     struct str macs, struct str label, const struct signature_rules *r,
                     int64_t now, const char **detail) {
    if (!read_parts(s, input, detail) || !read_params(s, input, detail))
        return false;
    s->params = whole(input);
    if (!is_canonical(input, s->params))
        return no(detail, "Signature-Input is not in canonical form, or has a parameter twice");
    return read_mac(s, macs, label, detail) && is_enough(s, h, r, detail) &&
           is_in_time(s, r, now, detail);
}

enum signature_found signature_read(struct signature *s, const struct head *h,
                                    const struct signature_rules *r, int64_t now,
                                    const char **detail) {
    struct out one = out_fixed(s->room, SIGNATURE_FIELD_MAX);
    struct out two = out_fixed(s->room + SIGNATURE_FIELD_MAX, SIGNATURE_FIELD_MAX);
    struct str inputs = head_joined(h, STR("signature-input"), &one);
    struct str macs = head_joined(h, STR("signature"), &two), label;
    struct sfv_value input;
    s->keyid = s->alg = s->nonce = s->tag = STR_NONE;
    s->created = s->expires = -1;
    s->covers_digest = false;
    s->n_parts = s->mac_n = 0;
    if (inputs.p == NULL)
        return SIGNATURE_NONE;
    if (one.over || two.over || inputs.n > SIGNATURE_FIELD_MAX || macs.n > SIGNATURE_FIELD_MAX)
        return bad(detail, "Signature-Input or Signature is longer than 4096 bytes");
    enum signature_found found = choose(inputs, r->tag, &label, &input, detail);
    if (found == SIGNATURE_READ && !read_all(s, h, &input, macs, label, r, now, detail))
        found = SIGNATURE_BAD;
    return found;
}

/* ---- derived components ---- */

static bool write_str(struct out *o, struct str s) {
    out_str(o, s);
    return true;
}

/* RFC 9421 2.2.3: in lower case, without the port that its scheme has anyway. */
static bool write_authority(struct out *o, const struct head *h, bool secure) {
    char *host = out_take(o, h->host.n);
    if (h->host.n == 0 || host == NULL)
        return false;
    str_lower(host, head_str(h, h->host));
    if (h->port != 0 && h->port != (secure ? 443 : 80)) {
        out_char(o, ':');
        out_u64(o, h->port);
    }
    return true;
}

static bool write_scheme(struct out *o, bool secure) {
    return write_str(o, secure ? STR("https") : STR("http"));
}

/* Of "*" there is none. */
static bool write_path(struct out *o, const struct head *h) {
    struct str path = head_str(h, h->raw_path);
    out_str(o, path);
    return path.n > 0 && path.p[0] == '/';
}

static bool write_query(struct out *o, const struct head *h) {
    out_char(o, '?'); /* also where there is none (2.2.7) */
    return !h->has_query || write_str(o, head_str(h, h->query));
}

static bool write_target_uri(struct out *o, const struct head *h, bool secure) {
    out_str(o, secure ? STR("https://") : STR("http://"));
    return write_authority(o, h, secure) && write_path(o, h) &&
           (!h->has_query || write_query(o, h));
}

static bool write_derived(struct out *o, const struct head *h, bool secure, struct str name) {
    if (str_eq(name, STR("@method")))
        return write_str(o, head_str(h, h->method_text));
    if (str_eq(name, STR("@target-uri")))
        return write_target_uri(o, h, secure);
    if (str_eq(name, STR("@authority")))
        return write_authority(o, h, secure);
    if (str_eq(name, STR("@scheme")))
        return write_scheme(o, secure);
    if (str_eq(name, STR("@path")))
        return write_path(o, h);
    if (str_eq(name, STR("@query")))
        return write_query(o, h);
    return write_str(o, head_str(h, h->target));
}

/* ---- parameters of the query ---- */

/* The next byte of a form-encoded text (2.2.8: decoded, and encoded anew). */
static unsigned char form_next(struct str *s) {
    char c = s->p[0];
    if (c == '%' && s->n >= 3 && char_is(s->p[1], CHAR_HEX) && char_is(s->p[2], CHAR_HEX)) {
        c = (char)(char_hex(s->p[1]) << 4 | char_hex(s->p[2]));
        *s = str_skip(*s, 2);
    } else if (c == '+') {
        c = ' ';
    }
    *s = str_skip(*s, 1);
    return (unsigned char)c;
}

/* One byte as 2.2.8 writes it; returns how many that are. */
static size_t percent(unsigned char c, char to[3]) {
    static const char hex[] = "0123456789ABCDEF";
    bool plain = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '*' ||
                 c == '-' || c == '.' || c == '_';
    to[0] = plain ? (char)c : '%';
    to[1] = hex[c >> 4];
    to[2] = hex[c & 15];
    return plain ? 1 : 3;
}

static bool form_eq(struct str form, struct str encoded) {
    char to[3];
    while (form.n > 0) {
        size_t n = percent(form_next(&form), to);
        if (!str_starts(encoded, str_mk(to, n)))
            return false;
        encoded = str_skip(encoded, n);
    }
    return encoded.n == 0;
}

static void form_write(struct out *o, struct str form) {
    char to[3];
    while (form.n > 0) {
        size_t n = percent(form_next(&form), to);
        out_bytes(o, to, n);
    }
}

/* A name that is there twice cannot be signed so (2.2.8). */
static bool write_query_param(struct out *o, const struct head *h, struct str name) {
    struct str rest = h->has_query ? head_str(h, h->query) : STR_NONE, pair, key;
    unsigned found = 0;
    while (rest.p != NULL) {
        rest = str_cut(rest, '&', &pair);
        struct str value = str_cut(pair, '=', &key);
        if (pair.n == 0 || !form_eq(key, name))
            continue;
        if (found++ == 0 && value.p != NULL)
            form_write(o, value);
    }
    return found == 1;
}

/* ---- fields ---- */

static bool write_field(struct out *o, const struct head *h, struct str name) {
    size_t before = o->n;
    struct str value = head_joined(h, name, o);
    if (o->n == before) /* one line, which is still where it was */
        out_str(o, value);
    return value.p != NULL;
}

/* So few that writing them costs little, whatever a client thinks of. */
static bool has_few_params(const struct sfv_value *v) {
    struct sfv at;
    struct str key;
    struct sfv_value one;
    unsigned n = 0;
    sfv_begin(&at, v->params);
    while (sfv_param(&at, &key, &one) == SFV_ONE)
        n++;
    if (v->type != SFV_INNER)
        return n <= MEMBER_PARAMS_MAX;
    sfv_begin(&at, v->text);
    while (sfv_inner(&at, &one) == SFV_ONE)
        if (!has_few_params(&one))
            return false;
    return n <= MEMBER_PARAMS_MAX;
}

/* One member of a field that is a dictionary (2.1.2). */
static bool write_member(struct out *o, const struct head *h, struct str name, struct str key) {
    char room[SIGNATURE_FIELD_MAX];
    struct out lines = out_fixed(room, sizeof(room));
    struct str text = head_joined(h, name, &lines);
    struct sfv_value v;
    if (text.p == NULL || lines.over || text.n > SIGNATURE_FIELD_MAX ||
        sfv_dictionary_get(text, key, &v) != SFV_ONE || !has_few_params(&v))
        return false;
    sfv_write(o, &v);
    return true;
}

/* ---- the base ---- */

static bool write_part(struct out *o, const struct head *h, bool secure,
                       const struct signature_part *part) {
    if (part->name.p[0] != '@')
        return part->param.p == NULL ? write_field(o, h, part->name)
                                     : write_member(o, h, part->name, part->param);
    if (part->param.p != NULL)
        return write_query_param(o, h, part->param);
    return write_derived(o, h, secure, part->name);
}

bool signature_base(const struct signature *s, const struct head *h, bool secure, struct out *base,
                    const char **detail) {
    for (unsigned i = 0; i < s->n_parts; i++) {
        out_str(base, s->parts[i].text);
        out_lit(base, ": ");
        bool there = write_part(base, h, secure, &s->parts[i]);
        out_char(base, '\n');
        if (base->over)
            break;
        if (!there)
            return no(detail, "a component that is signed is not in the request, or not once");
    }
    out_lit(base, "\"@signature-params\": ");
    out_str(base, s->params);
    return !base->over || no(detail, "what is signed is too long");
}

bool signature_verify(const struct signature *s, const struct head *h, bool secure,
                      const struct signature_key *key, struct mac_scratch *macs,
                      const char **detail) {
    char room[SIGNATURE_BASE_MAX];
    struct out base = out_fixed(room, sizeof(room));
    if (s->alg.n > 0 && !str_eq(s->alg, mac_name(key->mac)))
        return no(detail, "alg is not that of the key");
    if (!signature_base(s, h, secure, &base, detail))
        return false;
    return mac_verify(macs, key->mac, key->secret, out_done(&base),
                      str_mk((const char *)s->mac, s->mac_n)) ||
           no(detail, "the signature does not match");
}
