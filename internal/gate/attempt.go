package gate

import (
	"context"
	"errors"
	"fmt"
)

// answered logs what the forge answered to an effect, unless the log has just
// told the same: a merge may be tried for days.
func (mr *MergeRequest) answered(r *Request, d EffectData) {
	said := fmt.Sprintf("%s %s %s %d", d.Effect, d.Answer, d.Why, d.Tries)
	if said == r.Answered && d.Answer != AnswerDone && d.Answer != string(Merged) {
		return
	}
	r.Answered = said
	mr.record(r, EntryEffect, d)
}

// attempted logs an effect that was tried and not known to be done. Of many in a
// row it tells the first, the second, the fourth, the eighth: of a forge that is
// down for days a dozen.
func (mr *MergeRequest) attempted(r *Request, what effectKind, err error) {
	if r == nil || mr.Tries&(mr.Tries-1) != 0 {
		return
	}
	answer := AnswerNone
	var told *RetryAfter
	switch {
	case errors.As(err, &told):
		answer = AnswerWait
	case errors.Is(err, ErrNotPermitted):
		answer = AnswerRefused
	case errors.Is(err, ErrHeadMoved):
		answer = AnswerMoved
	case errors.Is(err, ErrNotFound):
		answer = AnswerGone
	}
	mr.answered(r, EffectData{Effect: string(what), Head: r.Head, Answer: answer, Error: err.Error(), Tries: mr.Tries})
}

// failEffect is fail of a write: what became of it, nobody knows.
func (w *work) failEffect(ctx context.Context, id int64, what effectKind, err error) error {
	return w.failWith(ctx, string(what), err, func(mr *MergeRequest) { mr.attempted(mr.request(id), what, err) })
}
