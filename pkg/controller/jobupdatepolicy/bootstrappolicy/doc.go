// Package bootstrappolicy defines the JobUpdatePolicies that every server creates. Only
// pkg/controller/jobupdatepolicy and tests may import it.
package bootstrappolicy
