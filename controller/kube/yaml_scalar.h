/* SPDX-License-Identifier: Apache-2.0
 *
 * yaml_scalar: what a plain scalar means by the core schema of YAML 1.2 (10.3.2).
 */
#ifndef SLUICE_CONTROLLER_KUBE_YAML_SCALAR_H
#define SLUICE_CONTROLLER_KUBE_YAML_SCALAR_H

#include "lib/str.h"

enum yaml_scalar { YAML_NULL, YAML_TRUE, YAML_FALSE, YAML_NUMBER, YAML_NOT_FINITE, YAML_STRING };

/* *number is set for YAML_NUMBER. text is NUL-terminated. */
enum yaml_scalar yaml_scalar(struct str text, double *number);

#endif
