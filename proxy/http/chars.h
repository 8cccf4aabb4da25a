/* SPDX-License-Identifier: Apache-2.0
 *
 * chars: they are in lib, where the controller finds them too.
 */
#include "lib/chars.h"
