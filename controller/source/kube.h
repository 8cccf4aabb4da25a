/* SPDX-License-Identifier: Apache-2.0
 *
 * source/kube: the Kubernetes API server as the source of the store.
 *
 *     IngressClass ─┐ list, then watch          asked for by name: Secrets
 *     Ingress      ─┤ (or one streaming list)         │ get, again every minute
 *     Route, ...   ─┴──► door ──► store ◄─────────────┘
 *
 * - Each kind (with namespaces: each kind in each of them) is listed whole and then watched, on its
 *   own: what one of them may not or cannot do is a fault with its name, and the others go on. A
 *   fault heals by itself: everything is tried again, at the latest after 30 s.
 * - A list is decoded object by object as it comes and goes straight into the store. What the store
 *   has and a complete list has not is deleted at its end, so that there is never an empty moment.
 * - A kind that the server does not know (404) has no objects; it is picked up when its
 *   CustomResourceDefinition comes. What was read of it before goes when the definition is seen to
 *   go, or when the 404 has lasted for KUBE_ABSENT_MS.
 * - IngressClasses come first. An Ingress or Route of a class that another controller has is
 *   dropped at the door, undecoded; when classes change so that it becomes ours, all are listed
 *   again.
 * - Namespaces are watched (metadata only) as soon as there is an Ingress or Route, or something
 * else reads one; under --namespaces not at all.
 * - Secrets are got one by one, by name, when something reads them: again when a reader is compiled
 *   again, but not within KUBE_REREAD_MS, and every KUBE_POLL_MS or so; nothing that nobody reads
 * is kept. With watch_secrets a metadata-only watch of TLS Secrets and of those with the label
 *   sluice.dev/credential=true says at once when one of them changed; another one does so of the
 *   ConfigMap that pins the fleet.
 *
 * The store is synced when every kind was listed, or refused, or found to be absent. The store's
 * thread.
 */
#ifndef SLUICE_CONTROLLER_SOURCE_KUBE_H
#define SLUICE_CONTROLLER_SOURCE_KUBE_H

#include "controller/kube/client.h"
#include "controller/source/source.h"
#include "controller/store/store.h"

struct kube_source;

enum {
    KUBE_PAGE = 500,               /* objects of one answer to a list */
    KUBE_SILENCE_MS = 100000,      /* a watch without a byte ends; bookmarks come every minute */
    KUBE_REFUSED_MS = 2000,        /* so long a first 403 or 404 lasts before it counts */
    KUBE_ABSENT_MS = 10000,        /* and a 404 of a kind that was there */
    KUBE_POLL_MS = 60000,          /* between two reads of a Secret; a quarter more or less */
    KUBE_WATCHED_POLL_MS = 600000, /* of one that is watched */
    KUBE_REREAD_MS = 1000,
    KUBE_GETS_MAX = 16, /* reads by name under way */
    KUBE_NAMESPACES_MAX = 64,
};

struct kube_source_options {
    const struct str *namespaces; /* borrowed until kube_source_new() returns */
    size_t n_namespaces;          /* 0: all */
    bool watch_secrets;
    struct str pin_namespace, pin; /* a ConfigMap that is watched too; pin.n == 0: none */
    void (*defined)(void *arg); /* the definition of a kind came, changed or went; NULL: unheard */
    void *arg;
    void (*reached)(void *arg, bool yes); /* the API server, since now; NULL: unheard */
    void *reached_arg;
};

/* Begins to read; the client is borrowed and must outlive it. */
struct kube_source *kube_source_new(struct event_base *base, struct store *store,
                                    struct kube_client *client,
                                    const struct kube_source_options *options);
struct source *kube_source_base(struct kube_source *s); /* source_verbs.free ends it */

#endif
