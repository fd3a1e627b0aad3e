package gate

import "time"

const (
	// pipelineLate is how long after the opening of a merge request, by the
	// forge's clock, its first pipeline may still be on its way.
	pipelineLate = time.Minute
	// nextPipelineLate is how long after a push was seen its pipeline may be: on
	// gitlab.com it is there within eight seconds.
	nextPipelineLate = 10 * time.Second
	// lateMin is how long to wait at least before looking for it again.
	lateMin = 5 * time.Second
)

// ci is what a rule that waits for the pipeline makes of a snapshot.
type ci string

const (
	ciPassed ci = "passed" // or there never was one, or the rule does not ask
	ciRuns   ci = "runs"
	ciLate   ci = "late"   // it may be on its way
	ciFailed ci = "failed" // or was skipped or cancelled, or waits for a person
	ciNone   ci = "none"   // other commits had one, this one has none
)

// ci judges the pipeline of the snapshot's head, for a rule that waits for it
// also where the project demands none.
func (r *Request) ci(s *Snapshot, now time.Time) ci {
	wait := r.Rule.Merge.WhenPipelineSucceeds
	switch p := s.Pipeline; {
	case wait == nil || !*wait:
		return ciPassed
	case p != nil && p.Status == "success":
		return ciPassed
	case p.runs():
		return ciRuns
	case p != nil:
		return ciFailed
	case s.HadPipeline && now.Sub(s.SeenAt) < nextPipelineLate, !s.HadPipeline && s.Age < pipelineLate:
		return ciLate
	case s.HadPipeline:
		return ciNone
	}
	return ciPassed
}

// awaits is the mergeability under the rule.
func (r *Request) awaits(s *Snapshot, now time.Time) Mergeability {
	m := s.Merging
	if m.Class == MergeBlocked {
		return m
	}
	switch r.ci(s, now) {
	case ciFailed:
		return Mergeability{Class: MergeBlocked, Reason: ReasonCIMustPass, Detail: m.Detail}
	case ciNone:
		return Mergeability{Class: MergeBlocked, Reason: ReasonNoPipeline, Detail: m.Detail}
	case ciLate:
		m.Class = MergeSoon
	case ciRuns:
		if m.Class == MergeGo {
			m.Class, m.Reason = MergeCI, "ci_still_running"
		}
	case ciPassed:
	}
	return m
}

// runs says that the pipeline will come to an end by itself
// (app/models/concerns/ci/has_status.rb: alive, and scheduled).
func (p *Pipeline) runs() bool {
	if p == nil {
		return false
	}
	switch p.Status {
	case "created", "waiting_for_resource", "waiting_for_callback", "preparing", "pending", "running", "scheduled":
		return true
	}
	return false
}
