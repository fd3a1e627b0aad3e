package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"mrgate/internal/feishusim"
)

// presses has Alice press Approve on each card, and catches what Feishu posts.
func (w *world) presses(ctx context.Context, cards []feishusim.Message) ([]press, error) {
	var caught press
	sink, stop, err := serve(ctx, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		caught.Header = r.Header.Clone()
		caught.Body, _ = io.ReadAll(r.Body) // cut off, it is refused later
	}))
	if err != nil {
		return nil, err
	}
	defer stop()
	list := make([]press, 0, len(cards))
	for _, card := range cards {
		caught = press{}
		// The sink answers nothing, which is no good answer: that it fails is expected.
		_, _ = w.feishu.Click(ctx, sink, card.ID, w.alice.OpenID, feishusim.ClickOptions{Button: "approve"})
		if len(caught.Body) == 0 {
			return nil, fmt.Errorf("nobody can click on %s", card.ID)
		}
		caught.Project, caught.IID, err = mergeRequestOf(card)
		if err != nil {
			return nil, err
		}
		list = append(list, caught)
	}
	return list, ctx.Err()
}

// mergeRequestOf says which merge request the card is about.
func mergeRequestOf(card feishusim.Message) (project int64, iid int, err error) {
	text := feishusim.PlainText(card.Card)
	_, rest, _ := strings.Cut(text, "bench/project-")
	var n int
	if _, err := fmt.Sscanf(rest, "%d !%d", &n, &iid); err != nil {
		return 0, 0, fmt.Errorf("%w: the card names no merge request: %s", err, text)
	}
	return 1000 + int64(n), iid, nil
}

// quantile is how long the fastest share of them took at most.
func quantile(took []time.Duration, share float64) time.Duration {
	if len(took) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(took))
	return sorted[min(int(share*float64(len(sorted))), len(sorted)-1)]
}

// callback is where the listener takes clicks.
func (w *world) callback() string { return w.listener.url + "/feishu/callback" }

// clickOn sends one click, and gives how long it took.
func (w *world) clickOn(ctx context.Context, p press) (time.Duration, error) {
	result, err := sending{URL: w.callback(), Clients: 1, List: []press{p}}.here(ctx)
	if err != nil {
		return 0, err
	}
	return result.Took[0], nil
}

func answered(took []time.Duration) string {
	return fmt.Sprintf("p50 %s, p99 %s", ms(quantile(took, 0.5)), ms(quantile(took, 0.99)))
}

// calmClicks measures clicks that come one by one: how soon GitLab hears of each.
func (w *world) calmClicks(ctx context.Context, o options, s *sheet) error {
	took, called, err := w.oneByOne(ctx, min(100, o.mergeRequests/20))
	if err != nil {
		return err
	}
	w.calm = took
	s.add("click → answer, one at a time", answered(took), "", "")
	p50 := quantile(called, 0.5)
	s.add("click → GitLab's first call arrives", answered(called), held(p50 <= budgetCall, "p50 "+ms(budgetCall)), "")
	return nil
}

// oneByOne clicks on so many cards, a while after each other, and gives how long
// each answer took and how long it was until GitLab heard of it.
func (w *world) oneByOne(ctx context.Context, n int) (took, called []time.Duration, err error) {
	list, err := w.presses(ctx, w.take(n))
	if err != nil {
		return nil, nil, err
	}
	for _, p := range list {
		first := w.calls.await(p.Project, p.IID)
		began := time.Now()
		one, err := w.clickOn(ctx, p)
		if err != nil {
			return nil, nil, err
		}
		err = until(ctx, time.Minute, "GitLab hears of a click", func() bool { _, _, ok := w.calls.come(first); return ok })
		if err != nil {
			return nil, nil, err
		}
		at, _, _ := w.calls.come(first)
		took, called = append(took, one), append(called, at.Sub(began))
		time.Sleep(100 * time.Millisecond)
	}
	return took, called, w.quiet(ctx)
}
