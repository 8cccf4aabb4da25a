/* SPDX-License-Identifier: Apache-2.0
 *
 * request: METHOD URL, headers and a token from the command line, read as the proxy would read
 * them.
 */
#ifndef SLUICE_CTL_REQUEST_H
#define SLUICE_CTL_REQUEST_H

#include "ctl/ctl.h"
#include "lib/out.h"
#include "proxy/route/snapshot.h"

struct request {
    struct out bytes; /* as it would be on the wire */
    struct head head;
    char *room; /* of host and path */
    struct str host, path;
    uint16_t port;
    bool secure;        /* https */
    enum reason reason; /* not NONE: the proxy would refuse it before routing */
    const char *detail; /* constant */
};

/* CTL_OK, or CTL_USAGE after one line to err. request_fini() in both cases. */
enum ctl_exit request_read(struct ctl *c, const char *method, const char *url, struct request *r);
void request_fini(struct request *r);

#endif
