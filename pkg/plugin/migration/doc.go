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
//   - the guard, the same on kube-apiserver only. It exists from just before the takeover of an
//     import to the end of the move back. It covers the moments in which a kube-apiserver does not
//     proxy to Batchgate, for example while it starts: nobody may write to its outdated objects.
//
// The freeze is held if its policy and its binding are those that the operation created, with the
// same content. An operation whose freeze is no longer held does not switch servers, or undo a
// switch, since clients may have written meanwhile.
//
// A command that hung may continue after another one has replaced its freeze. So every write has a
// precondition, which etcd or kube-apiserver verifies:
//
//   - Jobs in the cluster's etcd: the revision of the freeze's binding
//   - the marker, and Jobs in the dedicated etcd: the revision of the marker
//   - v1.batch: its resource version
//   - the deletion of a freeze or a guard: the UID of its binding. A rollback also compares the
//     resource version of the guard's binding, which an import that keeps the guard changes.
//
// An operation that has created its freeze changes the resource version of v1.batch, so that patches
// of earlier operations fail. See docs/design/0049-fence-hung-operations.md.
//
// The first table describes the states: the server that v1.batch points to, what the four things
// are, which server's etcd has all acknowledged writes, and which server accepts writes. The last
// one has the state that each command reaches. A command that fails changes nothing. --etcd-s
// stands for --etcd-servers. The tables come from states in states_test.go.
//
//	state  server     annotation  marker     freeze  guard  all Jobs   writes
//	    1  kube       -           -          -       -      kube       kube
//	    2  kube       -           -          yes     -      kube       nobody
//	    3  kube       -           importing  yes     -      kube       nobody
//	    4  kube       -           importing  yes     yes    kube       nobody
//	    5  Batchgate  importing   importing  yes     yes    kube       nobody
//	    6  kube       -           importing  -       -      kube       kube
//	    7  Batchgate  dedicated   importing  yes     yes    Batchgate  nobody
//	    8  Batchgate  dedicated   serving    yes     yes    Batchgate  nobody
//	    9  Batchgate  dedicated   serving    -       yes    Batchgate  Batchgate
//	   10  kube       -           serving    -       yes    Batchgate  nobody
//	   11  kube       -           serving    yes     yes    Batchgate  nobody
//	   12  kube       -           serving    yes     -      kube       nobody
//	   13  kube       -           serving    -       -      kube       kube
//	   14  Batchgate  importing   importing  -       yes    Batchgate  Batchgate
//	   15  Batchgate  dedicated   serving    -       -      Batchgate  Batchgate
//	   16  kube       -           importing  -       yes    kube       nobody
//
//	state  reached by
//	    1  installation
//	    2  import killed in "freeze"
//	    3  import killed in "freeze" or "copy"
//	    4  import killed after "guard"
//	    5  import killed after "take over"
//	    6  import that was undone
//	    7  import killed in "mark as serving"
//	    8  import killed before "unfreeze", rollback killed before "roll back"
//	    9  import
//	   10  rollback by hand (a patch of v1.batch)
//	   11  rollback killed after "roll back"
//	   12  rollback killed in "unfreeze", import --overwrite killed in "freeze"
//	   13  rollback
//	   14  freeze lifted by hand in state 5
//	   15  guard deleted by hand in state 9
//	   16  freeze lifted by hand in state 4, rollback by hand in state 14
//
//	       import  import    import       import       rollback  rollback  rollback  rollback
//	               --resume               --resume               --resume            --resume
//	state                    --overwrite  --overwrite                      --etcd-s  --etcd-s
//	    1  9       9         9            9            1         1         1         1
//	    2  fails   9         fails        9            fails     1         fails     1
//	    3  fails   9         fails        9            fails     6         fails     6
//	    4  fails   9         fails        9            fails     6         fails     6
//	    5  fails   9         fails        9            6         6         6         6
//	    6  9       9         9            9            6         6         6         6
//	    7  fails   9         fails        9            fails     fails     fails     6
//	    8  fails   9         fails        9            fails     fails     fails     13
//	    9  9       9         9            9            fails     fails     13        13
//	   10  9       9         9            9            fails     fails     fails     fails
//	   11  fails   9         fails        9            fails     13        fails     13
//	   12  fails   fails     fails        9            fails     13        fails     13
//	   13  fails   fails     9            9            13        13        13        13
//	   14  fails   9         fails        9            fails     fails     fails     fails
//	   15  9       9         9            9            fails     fails     13        13
//	   16  fails   fails     9            9            fails     fails     fails     fails
//
// Remarks:
//
//   - An import replaces the objects that are in the dedicated etcd if kube-apiserver's are
//     authoritative. If the marker is serving, it requires --overwrite for that, since
//     somebody may still need them.
//   - If the marker is serving and there is a guard, but v1.batch points to kube-apiserver, then it
//     was rolled back by hand, or by a rollback that was killed. It cannot be an unfinished import,
//     which changes the marker before it creates the guard. So import takes over again and copies
//     nothing.
//   - In state 5 the objects of both servers are equal as long as the freeze is held. In state 14
//     clients may have written to the dedicated etcd, so only import --resume works.
//   - In state 16 either etcd may have the latest writes, so import requires --overwrite.
//   - In states 10 and 16 rollback names the two ways out: import, or deleting the guard, which loses the
//     Jobs in the dedicated etcd.
package migration
