// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package tools pins the conformance suite that tests/e2e/h2spec builds.
package tools

import _ "github.com/summerwind/h2spec/cmd/h2spec"
