package metrics

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"mrgate/internal/gate"
)

// pending asks the database at each scrape. A database that does not answer has
// the scrape fail: an old number would pass for a new one.
type pending struct {
	archive                        gate.Archive
	requests, around, due, overdue *prometheus.Desc
}

func newPending(archive gate.Archive) *pending {
	return &pending{
		archive:  archive,
		requests: prometheus.NewDesc("mrgate_requests", "Requests in the database, by state.", []string{"state"}, nil),
		around: prometheus.NewDesc("mrgate_merges_around_gate_total",
			"Merges in the database that went around the gate: not approved here, or another commit than was.", nil, nil),
		due: prometheus.NewDesc("mrgate_due_merge_requests", "Merge requests that wait for a worker.", nil, nil),
		overdue: prometheus.NewDesc("mrgate_overdue_seconds",
			"How long the longest has waited of the merge requests that wait for a worker, without those that a person waits for, which are always next.", nil, nil),
	}
}

// Describe implements [prometheus.Collector].
func (p *pending) Describe(to chan<- *prometheus.Desc) {
	to <- p.requests
	to <- p.around
	to <- p.due
	to <- p.overdue
}

// Collect implements [prometheus.Collector].
func (p *pending) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), countWithin)
	defer cancel()
	c, err := p.archive.Counts(ctx)
	if err != nil {
		to <- prometheus.NewInvalidMetric(p.requests, err)
		return
	}
	for _, state := range gate.States() {
		to <- prometheus.MustNewConstMetric(p.requests, prometheus.GaugeValue, float64(c.Requests[state]), string(state))
	}
	to <- prometheus.MustNewConstMetric(p.around, prometheus.CounterValue, float64(c.Around))
	to <- prometheus.MustNewConstMetric(p.due, prometheus.GaugeValue, float64(c.Due))
	to <- prometheus.MustNewConstMetric(p.overdue, prometheus.GaugeValue, c.Overdue.Seconds())
}
