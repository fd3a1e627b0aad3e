package gate

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"mrgate/internal/policy"
	"mrgate/internal/words"
)

// noteBody is what the note under the merge request is to say of the request: a
// line for each decision, and what became of it; "": nothing was decided. It is
// plain text; the forge's adapter sees to it that it stays that. It does not move
// by itself, and names nothing that does: each change of it is a call.
func (mr *MergeRequest) noteBody(r *Request, w *words.Words) string {
	if r.DecidedAt.IsZero() && !r.Note.tried() {
		return ""
	}
	var lines []string
	for _, d := range r.Decisions {
		rec := words.Record{
			Name: d.Name, Operator: d.Via == viaOperator, Approved: d.Verdict == Approve, Void: d.Void, Reason: d.Reason,
			Commit: string(r.Head), Rule: r.Rule.Name, At: d.At,
		}
		if d.Entry != nil {
			rec.Entry, rec.Hash = d.Entry.Number, d.Entry.Hash
		}
		lines = append(lines, w.Note(rec))
	}
	if end := mr.noteEnd(r, w); end != "" {
		lines = append(lines, end)
	}
	return strings.Join(lines, "\n")
}

// noteEnd says what became of what was decided; "": nothing else than that.
func (mr *MergeRequest) noteEnd(r *Request, w *words.Words) string {
	s := mr.Snapshot
	if mr.wentAround(r) {
		return w.NoteMergedThere(s.MergedBy.Name, string(s.MergeCommit))
	}
	switch r.State {
	case MergedHere:
		return w.NoteMerged(r.Target, string(s.MergeCommit))
	case Pending:
		return w.NoteLapsed()
	case Expired:
		return w.NoteExpired()
	case Superseded:
		switch r.Cause { //nolint:exhaustive // the others do not supersede
		case CauseRetarget:
			return w.NoteRetargeted()
		case CauseDraft:
			return w.NoteDraft()
		case CauseReopened:
			return w.NoteReopened()
		}
		return w.NoteOutdated()
	case Withdrawn:
		if r.Cause == CauseNoRule {
			return w.NoteNoRule()
		}
		return w.NoteClosed(s.ClosedBy.Name)
	case Approved, BlockedNow, Rejected, ClosedHere:
	}
	return ""
}

// wentAround says that the merge request was merged around the gate, and that r
// was the last request about it: nothing else it said matters any more.
func (mr *MergeRequest) wentAround(r *Request) bool {
	l := mr.Landing
	return l != nil && l.Around != "" && r == mr.Current() && !r.State.Followed()
}

// note is the effect of writing the note, if it does not say what it should.
func (mr *MergeRequest) note(r *Request, p *rules) effectKind {
	if p.Note == policy.NoteOff {
		return ""
	}
	if body := mr.noteBody(r, p.words); body == "" || noteDigest(body) == r.NoteShown {
		return ""
	}
	return effectNote
}

func noteDigest(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:16])
}

// noteKey names the request's one note.
func noteKey(r *Request) string { return fmt.Sprintf("%s-%d", r.Head.Short(), r.ID) }

// RequestOfNote is the request that the note with this key is about; false: the
// key is none that gate makes.
func RequestOfNote(key string) (request int64, ok bool) {
	_, number, _ := strings.Cut(key, "-")
	request, err := strconv.ParseInt(number, 10, 64)
	return request, err == nil && request > 0
}

// note writes what was decided, by whom and why under the merge request, or
// brings that up to date: the forge itself shows only mrgate's own account.
func (w *work) note(ctx context.Context, id int64) error {
	var n Note
	rules := w.g.rules.Load()
	still, err := w.stillWanted(id, effectNote, func(mr *MergeRequest, r *Request) {
		n = Note{
			Key: noteKey(r), Body: mr.noteBody(r, rules.words), Ref: r.NoteRef, Again: r.Note.tried(),
			Internal: rules.Note == policy.NoteInternal || rules.Note == policy.NoteAuto && (mr.Contents == nil || mr.Contents.Public),
		}
		r.Note.Tried = mr.Now
	})
	if err != nil || !still {
		return err
	}
	c, cancel := call(ctx)
	defer cancel()
	ref, err := w.g.forge.Note(c, w.mr.Ref, n)
	w.read = time.Time{}
	if !errors.Is(err, ErrPublic) {
		w.g.observe(ctx, effectNote.call(), err)
	}
	trouble := ""
	switch {
	case errors.Is(err, ErrPublic):
		w.g.unwritten.Do(func() { w.g.log.Warn("notes are not written, since everybody could read them", "err", err) })
		trouble = err.Error()
	case errors.Is(err, ErrNotPermitted) && w.mr.Tries >= refusedEnough:
		// Nothing depends on a note: after some tries it is let be, until it is to
		// say something else.
		w.g.log.Warn("the forge refuses", "what", string(effectNote), "merge_request", w.mr.Ref.String(), "err", err)
		trouble = err.Error()
	case err != nil:
		return w.failEffect(ctx, id, effectNote, err)
	}
	w.learn(func(mr *MergeRequest) {
		r := mr.request(id)
		r.NoteShown = noteDigest(n.Body)
		if trouble == "" {
			r.NoteRef = ref
		}
		mr.did(r, effectNote, trouble)
	})
	return nil
}
