/* SPDX-License-Identifier: Apache-2.0
 *
 * list: an intrusive doubly linked ring. The head is a node too; an unlinked node points at
 * itself, so list_del() of one is harmless.
 */
#ifndef SLUICE_LIB_LIST_H
#define SLUICE_LIB_LIST_H

#include "lib/base.h"

struct list {
    struct list *next, *prev;
};

#define list_entry(ptr, type, member) container_of(ptr, type, member)
#define list_each(it, head)           for (struct list *it = (head)->next; it != (head); it = it->next)
/* it may be deleted in the body */
#define list_each_safe(it, head)                                                                   \
    for (struct list *it = (head)->next, *it##_next = it->next; it != (head);                      \
         it = it##_next, it##_next = it->next)

static inline void list_init(struct list *l) { l->next = l->prev = l; }
static inline bool list_empty(const struct list *l) { return l->next == l; }
static inline void list_add_after(struct list *at, struct list *n) {
    n->prev = at;
    n->next = at->next;
    at->next->prev = n;
    at->next = n;
}
static inline void list_push(struct list *head, struct list *n) { list_add_after(head, n); }
static inline void list_append(struct list *head, struct list *n) { list_add_after(head->prev, n); }
static inline void list_del(struct list *n) {
    n->prev->next = n->next;
    n->next->prev = n->prev;
    n->next = n->prev = n;
}
/* First node taken off, or NULL. */
static inline struct list *list_pop(struct list *head) {
    struct list *n = head->next;
    if (n == head)
        return NULL;
    list_del(n);
    return n;
}

#endif
