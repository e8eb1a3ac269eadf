// Package jobupdatepolicy has the strategies by which JobUpdatePolicies are created and
// updated, and how kubectl prints them. It is imported by its storage alone.
package jobupdatepolicy
