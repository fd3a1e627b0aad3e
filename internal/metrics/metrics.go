// Package metrics tells Prometheus how the listener fares: what is pending, from
// the database at each scrape, and what this process has done, as it does it.
// docs/metrics.md lists all there is.
//
// No label names a project or a person: their values are few, and known before.
package metrics

import (
	"context"
	"log/slog"
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"mrgate/internal/gate"
)

// countWithin is how long the database may take to answer a scrape. Prometheus
// waits for ten seconds by itself:
// https://prometheus.io/docs/prometheus/latest/configuration/configuration/ (scrape_timeout).
const countWithin = 5 * time.Second

// Metrics is a [gate.Observer], and the page that Prometheus scrapes.
type Metrics struct {
	http.Handler

	began    time.Time
	registry *prometheus.Registry
	answered prometheus.Histogram
	merged   prometheus.Histogram
	effects  *prometheus.CounterVec
	failures *prometheus.CounterVec
}

var _ gate.Observer = (*Metrics)(nil)

// New begins to measure. Trouble with a scrape goes to log, and to who scrapes.
func New(version string, archive gate.Archive, log *slog.Logger) *Metrics {
	m := &Metrics{
		began:    time.Now(),
		registry: prometheus.NewRegistry(),
		answered: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "mrgate_click_answer_seconds",
			Help:    "Time from a click's arrival until its answer is ready, the decision being on disk. Feishu waits for three seconds.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2, 3},
		}),
		merged: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "mrgate_click_merge_seconds",
			Help:    "Time from the decision that was enough until the merge is known, with all that the forge waited for.",
			Buckets: []float64{.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600, 24 * 3600},
		}),
		effects: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mrgate_effects_total",
			Help: "Writes that were done, by whom they went to and what they were.",
		}, []string{"target", "call"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mrgate_failures_total",
			Help: "Calls that failed, by whom they went to and what they were. Each is tried again or given up, as the log tells.",
		}, []string{"target", "call"}),
	}
	for _, call := range gate.Calls() { // so that the first one is an increase
		m.failures.WithLabelValues(string(call.Target), call.Name)
		if call.Writes {
			m.effects.WithLabelValues(string(call.Target), call.Name)
		}
	}
	m.registry.MustRegister(m.answered, m.merged, m.effects, m.failures, newPending(archive))
	m.gauge("mrgate_build_info", "1, with what was built by what.", prometheus.Labels{"version": version, "go_version": runtime.Version()},
		func() float64 { return 1 })
	m.Handler = promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelError)})
	return m
}

// Sweep has the page tell how long ago a sweep went through; last says when, zero
// if none has.
func (m *Metrics) Sweep(last func() time.Time) {
	m.gauge("mrgate_sweep_age_seconds", "Time since a sweep last went through every list without trouble; before the first, since the start.", nil,
		func() float64 {
			at := last()
			if at.IsZero() {
				at = m.began
			}
			return time.Since(at).Seconds()
		})
}

// LongConnection has the page tell whether clicks can arrive over the long
// connection; ready says why not.
func (m *Metrics) LongConnection(ready func(context.Context) error) {
	m.gauge("mrgate_long_connection_up", "1 while the long connection to Feishu is up, else 0.", nil, func() float64 {
		if ready(context.Background()) != nil {
			return 0
		}
		return 1
	})
}

func (m *Metrics) gauge(name, help string, labels prometheus.Labels, value func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, value))
}

// Clicks measures how long next takes to answer.
func (m *Metrics) Clicks(next gate.ClickFunc) gate.ClickFunc {
	return func(ctx context.Context, click gate.Click) gate.Answer {
		defer func(began time.Time) { m.answered.Observe(time.Since(began).Seconds()) }(time.Now())
		return next(ctx, click)
	}
}

// Called implements [gate.Observer].
func (m *Metrics) Called(call gate.Call, done bool) {
	counter := m.failures
	if done {
		counter = m.effects
	}
	counter.WithLabelValues(string(call.Target), call.Name).Inc()
}

// Merged implements [gate.Observer].
func (m *Metrics) Merged(after time.Duration) { m.merged.Observe(after.Seconds()) }
