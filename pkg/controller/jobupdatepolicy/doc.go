// Package jobupdatepolicy puts JobUpdatePolicies into force: it makes and restores the
// bootstrap policies when the server starts, compiles all policies to the snapshot that the
// gate reads whenever one changes, and writes into their status whether that went well. Each
// replica does so for itself.
package jobupdatepolicy
