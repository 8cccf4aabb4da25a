/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/net/proxy_header.h"

#include <arpa/inet.h>

enum {
    V1_MAX = 107, /* with its line end; the specification's own bound */
    V2_FIXED = 16,
    V4_BYTES = 12,
    V6_BYTES = 36,
    TLV_CRC32C = 3,
};

static const char signature[12] = {'\r', '\n', '\r', '\n', 0, '\r', '\n', 'Q', 'U', 'I', 'T', '\n'};

static enum proxy_header_got bad(const char **detail, const char *words) {
    *detail = words;
    return PROXY_HEADER_BAD;
}

/* ---- version 1 ---- */

static bool read_address(struct str text, bool six, struct str *bytes, char room[16]) {
    char z[INET6_ADDRSTRLEN];
    if (text.n == 0 || text.n >= sizeof(z) || memchr(text.p, 0, text.n) != NULL)
        return false;
    memcpy(z, text.p, text.n);
    z[text.n] = 0;
    *bytes = str_mk(room, six ? 16 : 4);
    return inet_pton(six ? AF_INET6 : AF_INET, z, room) == 1;
}

static bool read_port(struct str text, uint16_t *port) {
    uint64_t v;
    if (text.n == 0 || text.n > 5 || (text.n > 1 && text.p[0] == '0') ||
        !str_to_u64(text, UINT16_MAX, &v))
        return false;
    *port = (uint16_t)v;
    return true;
}

/* "203.0.113.7 192.0.2.1 51000 443" */
static bool read_ends(struct str line, bool six, struct proxy_header *h) {
    struct str from, to, from_port, bytes;
    uint16_t port[2];
    char room[16];
    struct str rest = str_cut(line, ' ', &from);
    rest = str_cut(rest, ' ', &to);
    rest = str_cut(rest, ' ', &from_port);
    if (rest.p == NULL || !read_port(from_port, &port[0]) || !read_port(rest, &port[1]))
        return false;
    return read_address(from, six, &bytes, room) && addr_set(&h->from, bytes, port[0]) &&
           read_address(to, six, &bytes, room) && addr_set(&h->to, bytes, port[1]);
}

static enum proxy_header_got read_v1(struct str in, struct proxy_header *h, const char **detail) {
    size_t end = str_find(in, '\n', 0);
    if (end >= V1_MAX)
        return bad(detail, "a PROXY line is longer than 107 bytes");
    if (end == in.n) {
        h->need = in.n + 1;
        return PROXY_HEADER_MORE;
    }
    struct str line = str_mk(in.p, end), word;
    if (line.p[line.n - 1] != '\r')
        return bad(detail, "a PROXY line does not end in CR LF");
    line.n--;
    h->n = end + 1;
    line = str_cut(str_skip(line, 6), ' ', &word);
    if (str_eq(word, STR("UNKNOWN")))
        return PROXY_HEADER_DONE;
    bool six = str_eq(word, STR("TCP6"));
    if (!six && !str_eq(word, STR("TCP4")))
        return bad(detail, "a PROXY line says neither TCP4 nor TCP6 nor UNKNOWN");
    if (!read_ends(line, six, h))
        return bad(detail, "a PROXY line has no two addresses and two ports");
    h->known = true;
    return PROXY_HEADER_DONE;
}

/* ---- version 2 ---- */

static unsigned byte(const char *p) { return (unsigned char)*p; }
static size_t number16(const char *p) { return (size_t)(byte(p) << 8 | byte(p + 1)); }

/* Castagnoli, bit by bit: a few hundred bytes, once a connection. */
static uint32_t crc32c(uint32_t crc, const char *p, size_t n) {
    for (size_t i = 0; i < n; i++) {
        crc ^= byte(p + i);
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0x82f63b78U & (0U - (crc & 1)));
    }
    return crc;
}

/* It is counted with zeros in its own place. */
static bool crc_is_right(struct str header, size_t at) {
    static const char zeros[4];
    const char *p = header.p + at;
    uint32_t said = (uint32_t)number16(p) << 16 | (uint32_t)number16(p + 2);
    uint32_t crc = crc32c(UINT32_MAX, header.p, at);
    crc = crc32c(crc, zeros, sizeof(zeros));
    crc = crc32c(crc, p + 4, header.n - at - 4);
    return ~crc == said;
}

static enum proxy_header_got read_tlvs(struct str header, size_t at, const char **detail) {
    bool checked = false;
    while (at < header.n) {
        if (header.n - at < 3 || number16(header.p + at + 1) > header.n - at - 3)
            return bad(detail, "a TLV of a PROXY header ends behind it");
        size_t n = number16(header.p + at + 1);
        if (byte(header.p + at) == TLV_CRC32C) {
            if (checked || n != 4 || !crc_is_right(header, at + 3))
                return bad(detail, "the checksum of a PROXY header is wrong");
            checked = true;
        }
        at += 3 + n;
    }
    return PROXY_HEADER_DONE;
}

static bool set_ends(const char *p, size_t n, struct proxy_header *h) {
    const char *ports = p + 2 * n;
    return addr_set(&h->from, str_mk(p, n), (uint16_t)number16(ports)) &&
           addr_set(&h->to, str_mk(p + n, n), (uint16_t)number16(ports + 2));
}

/* LOCAL speaks for nobody: its health check. So does a family that has no addresses of ours. */
static enum proxy_header_got read_block(struct str header, struct proxy_header *h,
                                        const char **detail) {
    unsigned command = byte(header.p + 12) & 0xf, family = byte(header.p + 13) >> 4,
             transport = byte(header.p + 13) & 0xf;
    size_t n = header.n - V2_FIXED;
    if (command == 0)
        return PROXY_HEADER_DONE;
    if (command != 1 || family > 3 || transport > 2)
        return bad(detail, "a PROXY header has an unknown command or family");
    if (family == 0 || transport == 0 || family == 3)
        return PROXY_HEADER_DONE;
    if (transport != 1)
        return bad(detail, "a PROXY header speaks of datagrams");
    size_t block = family == 1 ? V4_BYTES : V6_BYTES;
    if (n < block)
        return bad(detail, "a PROXY header is too short for its addresses");
    h->known = set_ends(header.p + V2_FIXED, family == 1 ? 4 : 16, h);
    return read_tlvs(header, V2_FIXED + block, detail);
}

static enum proxy_header_got read_v2(struct str in, struct proxy_header *h, const char **detail) {
    h->need = V2_FIXED;
    if (in.n > 12 && byte(in.p + 12) >> 4 != 2)
        return bad(detail, "a PROXY header has an unknown version");
    if (in.n < V2_FIXED)
        return PROXY_HEADER_MORE;
    h->need = V2_FIXED + number16(in.p + 14);
    if (h->need > PROXY_HEADER_MAX)
        return bad(detail, "a PROXY header is longer than 4096 bytes");
    if (in.n < h->need)
        return PROXY_HEADER_MORE;
    h->n = h->need;
    return read_block(str_mk(in.p, h->n), h, detail);
}

/* ---- either ---- */

enum proxy_header_got proxy_header_read(const char *p, size_t n, struct proxy_header *h,
                                        const char **detail) {
    static const struct str v1 = {"PROXY ", 6}, v2 = {signature, sizeof(signature)};
    struct str in = str_mk(p, n);
    *h = (struct proxy_header){0};
    *detail = "";
    if (str_starts(in, v2))
        return read_v2(in, h, detail);
    if (str_starts(in, v1))
        return read_v1(in, h, detail);
    if (!str_starts(v2, in) && !str_starts(v1, in))
        return PROXY_HEADER_NONE;
    h->need = n + 1;
    return PROXY_HEADER_MORE;
}

/* ---- writing ---- */

static bool as_v4(const struct addr *a, uint8_t to[4]) {
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    uint8_t six[16];
    addr_v6(a, six);
    memcpy(to, six + 12, 4);
    return memcmp(six, mapped, sizeof(mapped)) == 0;
}

static uint16_t port_of(const struct addr *a) {
    return ntohs(a->sa.sa_family == AF_INET ? a->v4.sin_port : a->v6.sin6_port);
}

static void write_text(struct out *o, bool six, const uint8_t *bytes) {
    char text[INET6_ADDRSTRLEN];
    inet_ntop(six ? AF_INET6 : AF_INET, bytes, text, sizeof(text));
    out_str(o, str_of(text));
    out_char(o, ' ');
}

static void write_v1(struct out *o, bool six, const uint8_t ends[2][16], const uint16_t ports[2]) {
    out_str(o, six ? STR("PROXY TCP6 ") : STR("PROXY TCP4 "));
    write_text(o, six, ends[0]);
    write_text(o, six, ends[1]);
    out_u64(o, ports[0]);
    out_char(o, ' ');
    out_u64(o, ports[1]);
    out_lit(o, "\r\n");
}

static void write_v2(struct out *o, bool six, const uint8_t ends[2][16], const uint16_t ports[2]) {
    static const char kinds[2][4] = {{0x21, 0x11, 0, V4_BYTES}, {0x21, 0x21, 0, V6_BYTES}};
    const uint16_t last[2] = {htons(ports[0]), htons(ports[1])};
    size_t n = six ? 16 : 4;
    out_bytes(o, signature, sizeof(signature));
    out_bytes(o, kinds[six], sizeof(kinds[six]));
    out_bytes(o, ends[0], n);
    out_bytes(o, ends[1], n);
    out_bytes(o, last, sizeof(last));
}

static void write_ends(struct out *o, unsigned version, const struct addr *client,
                       const struct addr *local) {
    uint8_t ends[2][16];
    const uint16_t ports[2] = {port_of(client), port_of(local)};
    bool four = as_v4(client, ends[0]), both = as_v4(local, ends[1]) && four;
    if (!both) {
        addr_v6(client, ends[0]);
        addr_v6(local, ends[1]);
    }
    if (version == 1)
        write_v1(o, !both, (const uint8_t(*)[16])ends, ports);
    else
        write_v2(o, !both, (const uint8_t(*)[16])ends, ports);
}

static void write_own(struct out *o, unsigned version) {
    static const char local[] = {0x20, 0, 0, 0};
    if (version == 1) {
        out_lit(o, "PROXY UNKNOWN\r\n");
    } else {
        out_bytes(o, signature, sizeof(signature));
        out_bytes(o, local, sizeof(local));
    }
}

size_t proxy_header_write(char *to, unsigned version, const struct addr *client,
                          const struct addr *local) {
    struct out o = out_fixed(to, PROXY_HEADER_WRITE_MAX);
    if (client != NULL)
        write_ends(&o, version, client, local);
    else
        write_own(&o, version);
    must(!o.over);
    return o.n;
}
