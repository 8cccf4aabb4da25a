/* SPDX-License-Identifier: Apache-2.0
 *
 * fetch: one GET to the admin port of a controller or proxy, as JSON.
 */
#ifndef SLUICE_CTL_FETCH_H
#define SLUICE_CTL_FETCH_H

#include "ctl/ctl.h"

#include <cjson/cJSON.h>

/* what: "controller" or "proxy", for the message. CTL_OK with *json (cJSON_Delete it), or the code
 * after one line to err. */
enum ctl_exit fetch_json(struct ctl *c, const char *what, const char *place, const char *path,
                         cJSON **json);

#endif
