// Package gate is the domain of mrgate: it carries a person's decision from a
// chat to a code host.
//
// # The story
//
// A merge request (the code host's) is opened. Something says where to look: a
// webhook, a sweep, a job. [Gate.Look] writes that down and is done. The runner
// then reconciles the merge request: it reads it from the [Forge], finds the
// rule that covers it, and opens an approval request ([Request]), which asks for
// approval of one head commit into one target branch. Everybody whom the rule
// names gets a card in the [Chat].
//
// A person presses a button. [Gate.Click] judges that from the database alone,
// commits the [Decision] and answers with the changed card; the network is not
// touched before the answer. The runner, woken by it, approves in the forge,
// reads the merge request once more, merges exactly the commit that was
// approved, writes a note, and brings all cards up to date.
//
// # What ends a request
//
// Being merged or rejected; a push, a retarget or a turn into a draft
// (superseded: the request was about something else); a merge or close by
// somebody else (withdrawn); time (expired). docs/states.md shows every move;
// the table is [Moves], and no other code moves a state.
//
// Whatever ends it, that the merge request was merged into a branch that a rule
// covered is kept as its [Landing], which says whether that went around the gate;
// also where nobody was ever asked.
//
// # Time
//
// Whoever has not decided some time after their card arrived is reminded, once
// and of all that waits for them ([Reminder]). When a request's time is over, or it
// was sent back, its author is offered to have it asked about again: a new
// request, with new cards (again.go).
//
// # Dry runs
//
// Under a gate that rehearses ([Parts].DryRun) all goes as above, but nothing is
// written to the forge: a request that opens is a dry one ([Request].Dry), its
// cards say so, and it ends with the decision. Nothing of it is ever carried out:
// a gate that does not rehearse withdraws it and asks anew. The other way round,
// a gate that rehearses only follows what the forge does with a real request; it
// takes no decision on it, judges it by no rule and leaves its effects to the gate
// that comes after.
//
// # What can go wrong
//
// Anything between any two steps. Therefore nothing is queued: one row stands
// for a merge request, says what was last seen and done, and when it is next
// due; [Gate.reconcile] compares that with what should be and does the next
// thing. Before an effect the row says that it is tried; a process that dies is
// followed by one that tries again and looks where the answer was ambiguous.
// Whoever works on a row holds its lease, and a write under a lost lease is
// refused, so a worker that was paused for a minute can do no harm.
//
// Times are those of the store ([MergeRequest.Now]): gate asks no clock about
// rows.
package gate
