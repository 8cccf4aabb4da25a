/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/net/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

bool channel_open(struct channel *p) {
    int fd[2];
    if (pipe2(fd, O_NONBLOCK | O_CLOEXEC) != 0)
        return false;
    (void)fcntl(fd[1], F_SETPIPE_SZ, CHANNEL_BYTES); /* else it is smaller */
    *p = (struct channel){.in = fd[1], .out = fd[0], .open = true};
    return true;
}

void channel_close(struct channel *p) {
    if (!p->open)
        return;
    close(p->in);
    close(p->out);
    *p = (struct channel){.open = false};
}

ssize_t channel_splice(int from, int to, size_t n) {
    ssize_t done;
    do
        done = splice(from, NULL, to, NULL, n, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    while (done < 0 && errno == EINTR);
    return done;
}

static bool would_block(void) { return errno == EAGAIN || errno == EWOULDBLOCK; }

static enum io empty_it(struct channel *p, struct conn *to, size_t *moved) {
    while (p->held > 0) {
        ssize_t n = to->can_write ? channel_splice(p->out, to->fd, p->held) : 0;
        if (n < 0 && !would_block())
            return IO_FULL;
        if (n <= 0) {
            to->can_write = false;
            to->awaited = true;
            return IO_AGAIN;
        }
        p->held -= (uint32_t)n;
        *moved += (size_t)n;
    }
    return IO_OK;
}

enum io channel_fill(struct channel *p, struct conn *from, uint64_t max) {
    if (!from->can_read && !from->short_read)
        return from->eof ? IO_EOF : IO_AGAIN;
    from->short_read = false;
    if (from->turn_bytes >= CONN_TURN_BYTES) {
        conn_again(from);
        return IO_AGAIN;
    }
    ssize_t n = channel_splice(from->fd, p->in, size_min(max, CHANNEL_BYTES));
    if (n > 0) {
        p->held += (uint32_t)n;
        from->turn_bytes += (uint32_t)n;
        return IO_OK;
    }
    from->can_read = false;
    from->eof = from->eof || n == 0;
    return n == 0 ? IO_EOF : would_block() ? IO_AGAIN : IO_FAIL;
}

enum io channel_move(struct channel *p, struct conn *from, struct conn *to, size_t *moved) {
    *moved = 0;
    for (;;) {
        enum io io = empty_it(p, to, moved);
        if (io == IO_OK)
            io = channel_fill(p, from, CHANNEL_BYTES);
        if (io != IO_OK)
            return io;
    }
}
