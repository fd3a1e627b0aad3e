package sqlite

import (
	"fmt"
	"strings"

	"mrgate/internal/gate"
	"mrgate/internal/policy"
)

// table is a table whose rows are written as a whole. Its statements are built
// from the fields, so that they cannot disagree about a column. Parameters are
// the columns in their order; the first key of them name the row.
type table struct {
	name    string
	key     int
	columns []string
	list    string // "t.a, t.b, t.c", to select
	insert  string
}

func newTable(name string, key int, fields []field) table {
	t := table{name: name, key: key}
	var qualified, marks []string
	for i, f := range fields {
		t.columns = append(t.columns, f.column)
		qualified = append(qualified, name+"."+f.column)
		marks = append(marks, fmt.Sprintf("?%d", i+1))
	}
	t.list = strings.Join(qualified, ", ")
	t.insert = "INSERT INTO " + name + " (" + strings.Join(t.columns, ", ") + ") VALUES (" + strings.Join(marks, ", ") + ")"
	return t
}

// update gives the statement that makes row of before, with its parameters. It
// sets only what differs: SQLite writes every index anew that has a column which
// is set, whether to another value or not. "": nothing differs.
func (t *table) update(before, row []any) (query string, args []any) {
	var b strings.Builder
	for i, v := range row {
		if v == before[i] {
			continue
		}
		if args == nil {
			b.WriteString("UPDATE " + t.name + " SET ")
		} else {
			b.WriteString(", ")
		}
		b.WriteString(t.columns[i] + " = ?")
		args = append(args, v)
	}
	if args == nil {
		return "", nil
	}
	for i, column := range t.columns[:t.key] {
		b.WriteString([]string{" WHERE ", " AND "}[min(i, 1)] + column + " = ?")
		args = append(args, before[i])
	}
	return b.String(), args
}

// tables are those of an aggregate.
type tables struct {
	mergeRequest, seen, landing, request, decision, claim, message, log table
}

func newTables() *tables {
	return &tables{
		mergeRequest: newTable("merge_request", 1, mergeRequestFields(&gate.MergeRequest{})),
		seen:         newTable("seen", 1, seenFields(&gate.MergeRequest{})),
		landing:      newTable("landing", 1, landingFields(new(int64), &gate.Landing{}, new(int64))),
		request:      newTable("request", 1, requestFields(new(int64), &gate.Request{})),
		decision:     newTable("decision", 2, decisionFields(new(int64), &gate.Decision{}, new(int64))),
		claim:        newTable("claim", 1, claimFields(new(int64), &gate.Claim{})),
		message:      newTable("message", 1, messageFields(&gate.Request{}, &gate.Message{})),
		log:          newTable("log", 1, entryFields(&gate.Entry{}, new(string))),
	}
}

func mergeRequestFields(mr *gate.MergeRequest) []field {
	var seen gate.Snapshot
	if mr.Snapshot != nil {
		seen = *mr.Snapshot
	}
	return []field{
		{"id", number[int64]{&mr.ID}},
		{"forge", text[string]{&mr.Ref.Forge}},
		{"project", number[int64]{&mr.Ref.Project}},
		{"number", number[int64]{&mr.Ref.Number}},
		{"path", repeated{text[string]{&seen.Path}}},
		{"author", repeated{text[string]{&seen.Author.Username}}},
		{"merge_commit", repeated{text[gate.CommitID]{&seen.MergeCommit}}},
		{"opening", number[int]{&mr.Opening}},
		{"why", text[string]{&mr.Why}},
		{"wake", number[int64]{&mr.Wake}},
		{"due_at", moment{&mr.DueAt}},
		{"lease", text[string]{&mr.Lease}},
		{"look_at", moment{&mr.LookAt}},
		{"reading_at", moment{&mr.ReadingAt}},
		{"again_at", moment{&mr.AgainAt}},
		{"forge_at", moment{&mr.ForgeAt}},
		{"tries", number[int]{&mr.Tries}},
		{"chat_at", moment{&mr.ChatAt}},
		{"chat_tries", number[int]{&mr.ChatTries}},
		{"error", text[string]{&mr.Error}},
		{"told", document[[]gate.Told]{&mr.Told}},
	}
}

func seenFields(mr *gate.MergeRequest) []field {
	return []field{
		{"merge_request", number[int64]{&mr.ID}},
		{"snapshot", optional[gate.Snapshot]{&mr.Snapshot}},
		{"contents", optional[gate.Contents]{&mr.Contents}},
	}
}

// landingFields binds all but the entry's hash, which is the log's.
func landingFields(mergeRequest *int64, l *gate.Landing, entry *int64) []field {
	return []field{
		{"merge_request", number[int64]{mergeRequest}},
		{"at", moment{&l.At}},
		{"around", text[gate.Bypass]{&l.Around}},
		{"rule", text[string]{&l.Rule}},
		{"entry", link{entry}},
	}
}

func requestFields(mergeRequest *int64, r *gate.Request) []field {
	return []field{
		{"id", number[int64]{&r.ID}},
		{"merge_request", number[int64]{mergeRequest}},
		{"seq", number[int]{&r.Seq}},
		{"opening", number[int]{&r.Opening}},
		{"head", text[gate.CommitID]{&r.Head}},
		{"target", text[string]{&r.Target}},
		{"state", text[gate.State]{&r.State}},
		{"cause", text[gate.Cause]{&r.Cause}},
		{"settled", flag{&r.Settled}},
		{"dry", flag{&r.Dry}},
		{"rule", repeated{text[string]{&r.Rule.Name}}},
		{"terms", document[policy.Rule]{&r.Rule}},
		{"policy_hash", text[string]{&r.PolicyHash}},
		{"panel", document[gate.Panel]{&r.Panel}},
		{"pipeline", optional[gate.Pipeline]{&r.Pipeline}},
		{"before", optional[gate.Before]{&r.Before}},
		{"opened_at", moment{&r.OpenedAt}},
		{"expires_at", moment{&r.ExpiresAt}},
		{"decided_at", moment{&r.DecidedAt}},
		{"ended_at", moment{&r.EndedAt}},
		{"approve_tried", moment{&r.Approve.Tried}},
		{"approve_done", moment{&r.Approve.Done}},
		{"merge_tried", moment{&r.Merge.Tried}},
		{"merge_done", moment{&r.Merge.Done}},
		{"close_tried", moment{&r.Close.Tried}},
		{"close_done", moment{&r.Close.Done}},
		{"retract_tried", moment{&r.Retract.Tried}},
		{"retract_done", moment{&r.Retract.Done}},
		{"note_tried", moment{&r.Note.Tried}},
		{"note_done", moment{&r.Note.Done}},
		{"note_ref", text[string]{&r.NoteRef}},
		{"note_shown", text[string]{&r.NoteShown}},
		{"status_tried", moment{&r.Status.Tried}},
		{"status_done", moment{&r.Status.Done}},
		{"status_shown", text[gate.StatusState]{&r.StatusShown}},
		{"scheduled", flag{&r.Scheduled}},
		{"blocked", document[gate.Mergeability]{&r.Blocked}},
		{"answered", text[string]{&r.Answered}},
	}
}

// decisionFields binds all but the entry's hash, which is the log's.
func decisionFields(request *int64, d *gate.Decision, entry *int64) []field {
	return []field{
		{"request", number[int64]{request}},
		{"person", text[string]{&d.Person}},
		{"name", text[string]{&d.Name}},
		{"verdict", text[gate.Verdict]{&d.Verdict}},
		{"reason", text[string]{&d.Reason}},
		{"via", text[string]{&d.Via}},
		{"shown", text[string]{&d.Shown}},
		{"void", flag{&d.Void}},
		{"at", moment{&d.At}},
		{"entry", link{entry}},
	}
}

func claimFields(mergeRequest *int64, c *gate.Claim) []field {
	return []field{
		{"merge_request", number[int64]{mergeRequest}},
		{"message", text[string]{&c.Message}},
		{"person", document[gate.Person]{&c.Person}},
		{"action", text[gate.ActionID]{&c.Action}},
		{"reason", text[string]{&c.Reason}},
		{"at", moment{&c.At}},
		{"dry", flag{&c.Dry}},
		{"origin", optional[gate.Origin]{&c.Origin}},
		{"ref", optional[gate.CardRef]{&c.Ref}},
		{"recipient", recipient{&c.To}},
		{"evidence", document[gate.Evidence]{&c.Evidence}},
		{"refused", text[string]{&c.Refused}},
	}
}

func messageFields(r *gate.Request, m *gate.Message) []field {
	awaited, remindAt := r.Awaits(m), r.RemindAt(m)
	return []field{
		{"key", text[string]{&m.Key}},
		{"request", number[int64]{&r.ID}},
		{"kind", text[gate.MessageKind]{&m.Kind}},
		{"recipient", recipient{&m.To}},
		{"sent_as", text[string]{&m.SentAs}},
		{"ref", optional[gate.CardRef]{&m.Ref}},
		{"shown", text[string]{&m.Shown}},
		{"face", text[string]{&m.Face}},
		{"asked_at", moment{&m.AskedAt}},
		{"reminded_at", moment{&m.RemindedAt}},
		{"dry", repeated{flag{&r.Dry}}},
		{"awaited", repeated{flag{&awaited}}},
		{"remind_at", repeated{moment{&remindAt}}},
		{"tried_at", moment{&m.TriedAt}},
		{"not_before", moment{&m.NotBefore}},
		{"push_at", moment{&m.PushAt}},
		{"tries", number[int]{&m.Tries}},
		{"told", text[string]{&m.Told}},
		{"said", text[string]{&m.Said}},
		{"gone", text[string]{&m.Gone}},
	}
}

// entryFields keeps the data as it came, in data: the hash is over its bytes.
func entryFields(e *gate.Entry, data *string) []field {
	return []field{
		{"number", number[int64]{&e.Number}},
		{"at", moment{&e.At}},
		{"merge_request", link{&e.MergeRequest}},
		{"request", link{&e.Request}},
		{"kind", text[gate.EntryKind]{&e.Kind}},
		{"data", text[string]{data}},
		{"hash", text[string]{&e.Hash}},
	}
}
