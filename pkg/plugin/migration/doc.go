// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package migration moves Jobs and CronJobs between the cluster's etcd and Batchgate's dedicated
// etcd, bypassing the API servers, and points APIService v1.batch to the server that has them.
// Only the kubectl plugin may import it. It imports the packages cluster, steps and takeover.
//
// Four things record the state of a move, so that a command can continue after another one was
// killed:
//
//   - the annotation batchgate.io/etcd of v1.batch: none, importing or dedicated
//   - the marker, a key in the dedicated etcd that names the cluster: none, importing or serving
//   - the freeze, a ValidatingAdmissionPolicy that denies all writes on both servers
//   - the guard, the same on kube-apiserver only. It exists from the freeze of an import to the
//     end of the move back. It covers the moments in which a kube-apiserver does not proxy to
//     Batchgate, for example while it starts: nobody may write to its outdated objects.
//
// The states, with the server that v1.batch points to, and what each command does in them.
// Authoritative are the objects of kube-apiserver in states 1 to 4, 9 and 10, and those in the
// dedicated etcd in states 5 to 8.
//
//	   server     annotation  marker     freeze  guard  reached by
//	 1 kube       -           -          -       -      installation
//	 2 kube       -           any        yes     -      import killed in "freeze"
//	   kube       -           importing  yes     yes    import killed between "freeze" and "take over"
//	 3 Batchgate  importing   importing  yes     yes    import killed after "take over"
//	 4 kube       -           importing  -       -      import that failed and was undone
//	 5 Batchgate  dedicated   importing  yes     yes    import killed in "mark as serving"
//	 6 Batchgate  dedicated   serving    any     yes    import; with freeze: killed before "unfreeze"
//	 7 Batchgate  dedicated   serving    yes     yes    rollback killed before "roll back"
//	 8 kube       -           serving    -       yes    rollback by hand (a patch of v1.batch)
//	 9 kube       -           serving    yes     any    rollback killed after "roll back"
//	10 kube       -           serving    -       -      rollback
//
//	   import                                     rollback
//	 1 freezes, copies, switches                  nothing to do
//	 2 fails; with --resume as in 1, or as in 10  fails; with --resume ends freeze and guard
//	   if the marker is serving
//	 3 fails; with --resume as in 6               switches, ends freeze and guard
//	 4 as in 1, replaces the copies               nothing to do
//	 5 as in 6                                    as in 6
//	 6 restores the guard, sets the marker, ends  fails without --etcd-servers; otherwise freezes,
//	   the freeze, waits for controllers;         copies back, switches, ends guard and freeze;
//	   if frozen, fails without --resume          if frozen, fails without --resume
//	 7 as in 6                                    as in 6
//	 8 switches, copies nothing                   fails and names the two ways out
//	 9 fails; with --resume as in 8 if guarded,   fails; with --resume ends freeze and guard
//	   else as in 10
//	10 fails; with --overwrite as in 1            nothing to do
//
// The marker "serving" with a guard but without a server means state 8 or 9, because an import
// changes the marker before it creates the guard.
//
// In state 3 the objects of both servers are equal as long as the freeze is held. Once it is lifted,
// clients may have written to the dedicated etcd: rollback fails, and only import --resume works.
package migration
