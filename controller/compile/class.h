/* SPDX-License-Identifier: Apache-2.0
 *
 * class: IngressClasses and their GatewayConfig, as the fact that Routes and Ingresses read. A
 * class whose parameters are wrong keeps the settings that it had when they were right.
 */
#ifndef SLUICE_CONTROLLER_COMPILE_CLASS_H
#define SLUICE_CONTROLLER_COMPILE_CLASS_H

#include "controller/compile/unit.h"

enum ownership { OWNER_OLDEST, OWNER_SHARED, OWNER_ASSIGNED };

struct class_ {
    struct resource *resource;               /* the IngressClass; a count */
    struct resource *config_resource;        /* its GatewayConfig, or NULL; a count */
    const struct kube_GatewayConfig *config; /* NULL: the defaults */
    struct str name, gateway;                /* gateway: id; both owned */
    enum ownership ownership;
    uint64_t release_after_ms;
    bool foreign_warn;           /* foreign annotations never refuse */
    bool ssl_redirect;           /* Ingresses with tls send plain requests to https */
    uint64_t ingress_body_limit; /* as model_route.body_limit */
    const struct str *identity;  /* patterns of identity headers */
    size_t n_identity;
    uint64_t hash;
};

enum class_answer {
    CLASS_OURS,
    CLASS_WAIT,       /* its unit is still to be compiled: step back */
    CLASS_FOREIGN,    /* another controller's */
    CLASS_ABSENT,     /* no class of that name */
    CLASS_NO_DEFAULT, /* none was named and none is the default */
    CLASS_REFUSED,    /* ours, and was never good */
};

void default_class_compile(struct making *m);
void class_compile(struct making *m);
void config_compile(struct making *m);               /* UNIT_CONFIG: its status */
void class_tell(struct compiler *c, struct unit *u); /* readers, if they see something new now */
void class_end(struct compiler *c, struct unit *u);

/* The class that m->r names ("" = none), recorded as read; *class is set for CLASS_OURS. */
enum class_answer class_read(struct making *m, struct str named, const struct class_ **class);

/* config.c: checks a GatewayConfig (m->r is told about it) and, for a class, makes gateway and
 * listeners. class == NULL: only the check. */
int config_make(struct making *m, const struct resource *config, struct class_ *class);
bool external_name_allowed(const struct class_ *class, struct str name);
const struct str *class_identity_default(size_t *n);
/* Private addresses that the GatewayConfigs of our classes allow, all together. */
struct unit_cidr *class_private_cidrs(struct making *m, uint32_t *n);
/* Whether some class of ours allows it: for a policy, which is of none. */
bool class_external_name(struct making *m, struct str name);
/* Whether some class of ours takes that header away from clients. */
bool class_identity(struct making *m, struct str name);
/* Whether some class of ours has a listener that asks clients for certificates; judged: and judges
 * them itself. */
bool class_asks_clients(struct making *m, bool judged);
bool identity_header(const struct class_ *class, struct str name); /* lower case */

#endif
