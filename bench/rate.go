package main

import (
	"context"
	"fmt"
	"time"
)

// clients is how many click without a pause where it is measured how many clicks
// go through.
const clients = 32

// flood is what came of many clicks.
type flood struct {
	sent
	cpu    time.Duration // of the listener, for a click and all that follows
	merged time.Duration // after the last click, until all of them were
}

// fullRate measures many clicks, beside a handler that only writes them down.
func (w *world) fullRate(ctx context.Context, o options, s *sheet) error {
	what := sending{Rate: o.rate}
	r, bare, err := w.besideBare(ctx, o.clicks, what)
	if err != nil {
		return err
	}
	w.atRate = r
	p99, beside := quantile(r.Took, 0.99), quantile(bare.Took, 0.99)
	s.add(fmt.Sprintf("click → answer, %d a second, %d of them", o.rate, len(r.Took)), answered(r.Took), held(p99 <= budgetAnswer, "p99 "+ms(budgetAnswer)),
		fmt.Sprintf("bare handler: %s; p99 is %.1f times that", answered(bare.Took), float64(p99)/float64(beside)))
	s.add("CPU of the listener for a click and all that follows", ms(r.cpu), "", "")
	s.add("all of them merged, after the last click", fmt.Sprintf("%.1f s", r.merged.Seconds()), "", "")
	_, _, most, err := w.listener.memory()
	if err != nil {
		return err
	}
	s.add("memory until then", fmt.Sprintf("at most %d MiB", most), held(most <= budgetMost, fmt.Sprintf("%d MiB", budgetMost)), "")
	return nil
}

// throughput measures how many clicks go through, beside that handler.
func (w *world) throughput(ctx context.Context, o options, s *sheet) error {
	r, bare, err := w.besideBare(ctx, o.clicks, sending{Clients: clients})
	if err != nil {
		return err
	}
	s.add(fmt.Sprintf("clicks a second, %d clients, %d clicks", clients, len(r.Took)), fmt.Sprintf("%.0f; %s", r.perSecond(), answered(r.Took)),
		held(r.perSecond() >= bare.perSecond(), "the bare handler's"), fmt.Sprintf("bare handler: %.0f; %s", bare.perSecond(), answered(bare.Took)))
	return nil
}

func (s *sent) perSecond() float64 { return float64(len(s.Took)) / s.All.Seconds() }

// besideBare clicks on at most n cards, first on the bare handler's, which keeps
// nothing of it.
func (w *world) besideBare(ctx context.Context, n int, s sending) (flood, sent, error) {
	var err error
	// As many are left for what comes after.
	if s.List, err = w.presses(ctx, w.take(min(n, len(w.untouched)/3))); err != nil {
		return flood{}, sent{}, err
	}
	bare, err := w.bare(ctx, s)
	if err != nil {
		return flood{}, sent{}, err
	}
	r, err := w.clickAll(ctx, s)
	return r, bare, err
}

// clickAll sends clicks, and waits until all of them are merged.
func (w *world) clickAll(ctx context.Context, s sending) (flood, error) {
	before, err := w.listener.cpu()
	if err != nil {
		return flood{}, err
	}
	var r flood
	s.URL = w.callback()
	if r.sent, err = s.send(ctx); err != nil {
		return flood{}, err
	}
	began := time.Now()
	if err := w.quiet(ctx); err != nil {
		return flood{}, err
	}
	r.merged = max(0, time.Since(began)-quietFor)
	merged := 0
	for _, p := range s.List {
		if w.gitlab.MR(p.Project, p.IID).State == "merged" {
			merged++
		}
	}
	if merged != len(s.List) {
		return flood{}, fmt.Errorf("%d of %d were merged", merged, len(s.List))
	}
	after, err := w.listener.cpu()
	r.cpu = (after - before) / time.Duration(len(s.List))
	return r, err
}
