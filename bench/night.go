package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"mrgate/internal/config"
	"mrgate/internal/gate"
	"mrgate/internal/gitlab"
	"mrgate/internal/sqlite"
)

// nightDown measures how soon a click is worked on after a night in which the
// listener was down, with every merge request waiting to be looked at.
func (w *world) nightDown(ctx context.Context, o options, s *sheet) error {
	cards := w.untouched[max(0, len(w.untouched)-20):] // the last ones that would have their turn
	list, err := w.presses(ctx, cards)
	if err != nil {
		return err
	}
	if err := w.listener.stop(); err != nil {
		return err
	}
	if err := w.lookAtAll(ctx, o.mergeRequests); err != nil {
		return err
	}
	before := w.calls.total.Load()
	began := time.Now()
	if w.listener, err = w.start(ctx); err != nil {
		return err
	}
	var called []time.Duration
	var most int64
	for _, p := range list {
		first := w.calls.await(p.Project, p.IID)
		at := time.Now()
		if _, err := w.clickOn(ctx, p); err != nil {
			return err
		}
		if err := until(ctx, time.Minute, "GitLab hears of a click", func() bool { _, _, ok := w.calls.come(first); return ok }); err != nil {
			return err
		}
		came, others, _ := w.calls.come(first)
		called, most = append(called, came.Sub(at)), max(most, others)
	}
	left := o.mergeRequests - int(w.calls.total.Load()-before)
	s.add(fmt.Sprintf("after a night down, click → GitLab's first call arrives, %d merge requests due", o.mergeRequests),
		fmt.Sprintf("%s; at most %d other calls before it, about %d still to come", answered(called), most, max(0, left)), "first in line", "")
	if err := w.quiet(ctx); err != nil {
		return err
	}
	s.add("all of them looked at", fmt.Sprintf("%.1f s", (time.Since(began)-3*time.Second).Seconds()), "", "")
	_, _, held2, err := w.listener.memory()
	if err != nil {
		return err
	}
	s.add("memory meanwhile", fmt.Sprintf("at most %d MiB", held2), held(held2 <= budgetMost, fmt.Sprintf("%d MiB", budgetMost)), "")
	return nil
}

// lookAtAll writes down, as webhooks or a sweep would, that each merge request is
// to be looked at.
func (w *world) lookAtAll(ctx context.Context, n int) error {
	store, err := sqlite.Open(ctx, w.database(), sqlite.Options{MustExist: true})
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	text, err := os.ReadFile(w.policy())
	if err != nil {
		return err
	}
	p, err := config.ParsePolicy(string(text))
	if err != nil {
		return err
	}
	forge, err := gitlab.New(gitlab.Config{BaseURL: "http://127.0.0.1:1", Token: gitlabToken})
	if err != nil {
		return err
	}
	g := gate.New(gate.Parts{Store: store, Policy: p, Log: slog.New(slog.DiscardHandler)})
	var group errgroup.Group
	group.SetLimit(64)
	for i := range n {
		group.Go(func() error {
			_, err := g.Look(ctx, gate.Hint{Ref: forge.Ref(project(i), int64(i/projects+1))})
			return err
		})
	}
	return group.Wait()
}
