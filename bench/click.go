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
	list, err := w.presses(ctx, w.take(min(100, o.mergeRequests/10)))
	if err != nil {
		return err
	}
	var took, called []time.Duration
	for _, p := range list {
		first := w.calls.await(p.Project, p.IID)
		began := time.Now()
		one, err := w.clickOn(ctx, p)
		if err != nil {
			return err
		}
		took = append(took, one)
		err = until(ctx, time.Minute, "GitLab hears of a click", func() bool { _, _, ok := w.calls.come(first); return ok })
		if err != nil {
			return err
		}
		at, _, _ := w.calls.come(first)
		called = append(called, at.Sub(began))
		time.Sleep(100 * time.Millisecond)
	}
	s.add("click → answer, one at a time", answered(took), "", "")
	p50 := quantile(called, 0.5)
	s.add("click → GitLab's first call arrives", answered(called), held(p50 <= budgetCall, "p50 "+ms(budgetCall)), "")
	return w.quiet(ctx)
}

// fullRate measures many clicks, beside a handler that only writes them down.
func (w *world) fullRate(ctx context.Context, o options, s *sheet) error {
	cards := w.take(min(o.clicks, len(w.untouched)/2))
	list, err := w.presses(ctx, cards)
	if err != nil {
		return err
	}
	bare, err := w.bare(ctx, sending{Rate: o.rate, List: list})
	if err != nil {
		return err
	}
	before, err := w.listener.cpu()
	if err != nil {
		return err
	}
	result, err := sending{URL: w.callback(), Rate: o.rate, List: list}.send(ctx)
	if err != nil {
		return err
	}
	p99, beside := quantile(result.Took, 0.99), quantile(bare.Took, 0.99)
	s.add(fmt.Sprintf("click → answer, %d a second, %d of them", o.rate, len(list)), answered(result.Took), held(p99 <= budgetAnswer, "p99 "+ms(budgetAnswer)),
		fmt.Sprintf("bare handler: %s; p99 is %.1f times that", answered(bare.Took), float64(p99)/float64(beside)))
	began := time.Now()
	if err := w.quiet(ctx); err != nil {
		return err
	}
	merged := 0
	for _, p := range list {
		if w.gitlab.MR(p.Project, p.IID).State == "merged" {
			merged++
		}
	}
	if merged != len(list) {
		return fmt.Errorf("%d of %d were merged", merged, len(list))
	}
	after, err := w.listener.cpu()
	if err != nil {
		return err
	}
	s.add("CPU of the listener for a click and all that follows", ms((after-before)/time.Duration(len(list))), "", "")
	s.add("all of them merged, after the last click", fmt.Sprintf("%.1f s", (time.Since(began)-3*time.Second).Seconds()), "", "")
	_, most, err := w.listener.memory()
	if err != nil {
		return err
	}
	s.add("memory until then", fmt.Sprintf("at most %d MiB", most), held(most <= budgetMost, fmt.Sprintf("%d MiB", budgetMost)), "")
	return nil
}
