/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/read.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

int read_file(const char *path, struct out *o, struct why *why) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (fd < 0)
        return why_text(why, "cannot be opened: %s", strerror(errno));
    ssize_t n = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? 1 : -1;
    if (n < 0)
        why_text(why, "is no file");
    while (n > 0 && !o->over) {
        char room[65536];
        n = read(fd, room, sizeof(room));
        if (n < 0)
            why_text(why, "cannot be read: %s", strerror(errno));
        out_bytes(o, room, n > 0 ? (size_t)n : 0);
    }
    close(fd);
    if (o->over)
        why_text(why, "is larger than %d MiB; split it", READ_MAX >> 20);
    return why_set(why) ? -1 : 0;
}
