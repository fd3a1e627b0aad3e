package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"mrgate/internal/feishusim"
)

// press is a click on its way: what Feishu posts, ready to be sent.
type press struct {
	header  http.Header
	body    []byte
	project int64
	iid     int
}

// presses has Alice press Approve on each card, and catches what Feishu posts.
func (w *world) presses(ctx context.Context, cards []feishusim.Message) ([]press, error) {
	var caught press
	sink, stop, err := serve(ctx, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		caught.header = r.Header.Clone()
		caught.body, _ = io.ReadAll(r.Body) // cut off, it is refused later
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
		if len(caught.body) == 0 {
			return nil, fmt.Errorf("nobody can click on %s", card.ID)
		}
		caught.project, caught.iid, err = mergeRequestOf(card)
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

// send sends the presses, so many a second, whether or not those before were
// answered, and gives how long each took since it was due: a sender that waits
// for a slow answer would leave out those who would have waited behind it.
func send(ctx context.Context, url string, list []press, rate int) ([]time.Duration, error) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 500}, Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	took, errs := make([]time.Duration, len(list)), make([]error, len(list))
	var all sync.WaitGroup
	began := time.Now()
	for i, p := range list {
		due := began.Add(time.Duration(i) * time.Second / time.Duration(rate))
		select {
		case <-time.After(time.Until(due)):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		all.Go(func() {
			errs[i] = p.send(ctx, client, url)
			took[i] = time.Since(due)
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return took, nil
}

func (p *press) send(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(p.body))
	if err != nil {
		return err
	}
	req.Header = p.header
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("click: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("click: %w", err)
	}
	var answer struct {
		Toast struct{ Type, Content string }
	}
	if err := json.Unmarshal(body, &answer); err != nil || resp.StatusCode != http.StatusOK || answer.Toast.Type != "success" {
		return fmt.Errorf("a click was answered %d %.300s", resp.StatusCode, body)
	}
	return nil
}

// quantile is how long the fastest share of them took at most.
func quantile(took []time.Duration, share float64) time.Duration {
	if len(took) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(took))
	return sorted[min(int(share*float64(len(sorted))), len(sorted)-1)]
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
		first := w.calls.await(p.project, p.iid)
		began := time.Now()
		one, err := send(ctx, w.listener.url+"/feishu/callback", []press{p}, 1)
		if err != nil {
			return err
		}
		took = append(took, one...)
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
	bare, err := w.bare(ctx, list, o.rate)
	if err != nil {
		return err
	}
	before, err := w.listener.cpu()
	if err != nil {
		return err
	}
	took, err := send(ctx, w.listener.url+"/feishu/callback", list, o.rate)
	if err != nil {
		return err
	}
	p99, beside := quantile(took, 0.99), quantile(bare, 0.99)
	s.add(fmt.Sprintf("click → answer, %d a second, %d of them", o.rate, len(list)), answered(took), held(p99 <= budgetAnswer, "p99 "+ms(budgetAnswer)),
		fmt.Sprintf("bare handler: %s; p99 is %.1f times that", answered(bare), float64(p99)/float64(beside)))
	began := time.Now()
	if err := w.quiet(ctx); err != nil {
		return err
	}
	merged := 0
	for _, p := range list {
		if w.gitlab.MR(p.project, p.iid).State == "merged" {
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
