/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/wire.h"

#include "ctl/doc.h"
#include "lib/base64.h"
#include "lib/mem.h"

#include <stdlib.h>

struct object *wire_object(const cJSON *j, struct why *why) {
    const char *id = doc_get(j, "id");
    struct str text = str_of(doc_get(j, "bytes"));
    char *room = mem_alloc(BASE64_ROOM(text.n));
    struct object *o = NULL;
    size_t n;
    if (base64_decode(text, room, &n))
        o = object_from_bytes((uint32_t)doc_number(j, "kind"), str_of(id), str_mk(room, n), why);
    else
        why_text(why, "its bytes are no base64");
    if (o) /* what is hidden counts as well */
        o->hash = strtoull(doc_get(j, "hash"), NULL, 16);
    mem_free(room);
    return o;
}
