/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/chars.h"

#define IN(c, a, b)   ((c) >= (a) && (c) <= (b))
#define ALNUM(c)      (IN(c, '0', '9') || IN(c, 'a', 'z') || IN(c, 'A', 'Z'))
#define UNRESERVED(c) (ALNUM(c) || (c) == '-' || (c) == '.' || (c) == '_' || (c) == '~')
#define TCHAR(c)                                                                                   \
    (UNRESERVED(c) || (c) == '!' || IN(c, '#', '\'') || (c) == '*' || (c) == '+' || (c) == '^' ||  \
     (c) == '`' || (c) == '|')
#define VALUE(c)  ((c) == '\t' || IN(c, 0x20, 0x7e) || (c) >= 0x80)
#define TARGET(c) (IN(c, 0x21, 0x7e) && (c) != '#' && (c) != '?')
#define HEX(c)    (IN(c, '0', '9') || IN(c, 'a', 'f') || IN(c, 'A', 'F'))
#define PLAIN(c)  (TARGET(c) && (c) != '%' && (c) != ';' && (c) != '.' && (c) != '\\')

#define C(c)                                                                                       \
    ((TCHAR(c) ? CHAR_TOKEN : 0) | (VALUE(c) ? CHAR_VALUE : 0) | (TARGET(c) ? CHAR_TARGET : 0) |   \
     (UNRESERVED(c) ? CHAR_HOST : 0) | (HEX(c) ? CHAR_HEX : 0) | (PLAIN(c) ? CHAR_PLAIN_PATH : 0))
#define C4(c)  C(c), C((c) + 1), C((c) + 2), C((c) + 3)
#define C16(c) C4(c), C4((c) + 4), C4((c) + 8), C4((c) + 12)
#define C64(c) C16(c), C16((c) + 16), C16((c) + 32), C16((c) + 48)

const uint8_t chars[256] = {C64(0), C64(64), C64(128), C64(192)};
