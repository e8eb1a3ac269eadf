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
// The states, with the server that v1.batch points to and the commands' actions. "Authoritative"
// are the Jobs of kube-apiserver in states 1 to 4 and 9, and those in the dedicated etcd in
// states 5 to 8.
//
//	  server     annotation  marker     freeze  guard  reached by
//	1 kube       -           -          -       -      installation
//	2 kube       -           any        yes     any    import killed after "freeze" or in "copy"
//	3 Batchgate  importing   importing  yes     yes    import killed after "take over"
//	4 kube       -           importing  -       -      import that failed and was undone
//	5 Batchgate  dedicated   importing  yes     yes    import killed in "note"
//	6 Batchgate  dedicated   serving    any     yes    import; with freeze: killed before "unfreeze"
//	7 Batchgate  dedicated   serving    yes     yes    rollback killed before "roll back"
//	8 kube       -           serving    -       yes    rollback by hand (a patch of v1.batch)
//	9 kube       -           serving    any     any    rollback; with freeze: killed before "unfreeze"
//
//	  import                                   rollback
//	1 freezes, copies, switches                nothing to do
//	2 fails; with --resume as in 1             fails; with --resume ends freeze and guard
//	3 fails; with --resume as in 6             switches, ends freeze and guard
//	4 as in 1, replaces the copies             nothing to do
//	5 as in 6                                  as in 6
//	6 notes, ends the freeze, waits for        fails without --etcd-servers; with it freezes,
//	  controllers; frozen: needs --resume      copies back, switches, ends freeze and guard;
//	                                           frozen: needs --resume
//	7 as in 6                                  as in 6
//	8 switches, copies nothing                 fails and names the two ways out
//	9 fails; with --overwrite as in 1          frozen: needs --resume, ends freeze and guard
//
// In state 3 the objects of both servers are equal as long as the freeze is held. If the freeze is
// gone, clients may have written to the dedicated etcd, so a rollback fails.
package migration
