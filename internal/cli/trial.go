package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"mrgate/internal/feishu"
	"mrgate/internal/gate"
	"mrgate/internal/policy"
	"mrgate/internal/words"
)

// connectTime is how long a trial waits for its connection.
const connectTime = 15 * time.Second

// clicks says what of their way cannot be told, or tries it.
func (d *doctor) clicks(ctx context.Context, chat *feishu.Chat) {
	const check = "feishu.callback"
	if d.tester.Value == "" {
		d.unchecked(check, "", "try it with --send-test and your own e-mail address, or "+subscribe,
			"whether the app's callback is subscribed cannot be told from here")
		return
	}
	to, err := d.recipient(ctx, chat)
	if err != nil {
		what, remedy := refusal(err, "")
		d.fail(check, d.tester.Value, remedy, "%s", what)
		return
	}
	key, w := gate.TrialKey(rand.Text()), words.For(string(d.cfg.Policy.Locale))
	send := func() bool {
		_, err := chat.Send(ctx, to, gate.TrialCard(key, false, w))
		if err != nil {
			what, remedy := refusal(err, "")
			d.fail(check, d.tester.Value, remedy, "no card could be sent: %s", what)
		}
		return err == nil
	}
	if d.cfg.LongConnection {
		d.await(ctx, key, w, send)
	} else if send() {
		d.unchecked(check, d.tester.Value, "press its button: the card then says that the click has arrived; if it shows an error, "+subscribe+
			", with the request URL (请求地址) of the listener, which has to be running",
			"a card was sent, whose click only the running listener can take")
	}
}

// recipient finds whom the trial's card goes to.
func (d *doctor) recipient(ctx context.Context, chat *feishu.Chat) (gate.Recipient, error) {
	found, err := chat.Find(ctx, []policy.Identity{d.tester})
	if err == nil && found[d.tester].ID == "" {
		err = errors.New("nobody in Feishu is found by this, so no card was sent")
	}
	return gate.Recipient{ID: found[d.tester].ID}, err
}

// await connects, sends the card and waits for its click.
func (d *doctor) await(ctx context.Context, key string, w *words.Words, send func() bool) {
	const check = "feishu.callback"
	clicked := make(chan gate.Person, 1)
	connection, err := feishu.NewConnection(chatConfig(d.cfg, nil), func(_ context.Context, c gate.Click) gate.Answer {
		answer, ok := gate.Trial(c, w)
		if !ok {
			// Somebody's decision, which nobody here can record: they are told to
			// press again, and then it may reach the listener.
			return gate.Answer{Kind: gate.AnswerError, Text: w.ToastNotRecorded()}
		}
		if c.Key == key {
			select {
			case clicked <- c.By:
			default: // pressed twice
			}
		}
		return answer
	}, w.ToastNotRecorded())
	if err != nil {
		d.fail(check, "", "mend the setting", "%s", err)
		return
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = connection.Run(running) // Ready has its trouble
	}()
	defer func() {
		stop()
		<-ended
	}()
	if err := ready(ctx, connection); err != nil {
		what, remedy := refusal(errors.Unwrap(err), "")
		d.fail(check, "", remedy, "no long connection could be opened, so no card was sent: %s", what)
		return
	}
	if !send() {
		return
	}
	_, _ = fmt.Fprintf(d.env.Stderr, "mrgate: a card was sent to %s; waiting %s for its click\n", clean(d.tester.Value), d.cfg.Timeout)
	timer := time.NewTimer(d.cfg.Timeout)
	defer timer.Stop()
	select {
	case <-clicked:
		d.ok(check, d.tester.Value, "a card was sent, and its click has arrived")
	case <-timer.C:
		d.fail(check, d.tester.Value, "if the card says that the click arrived, a running listener took it, and all is well; if it shows an error, "+subscribe+
			", and that the subscription mode (订阅方式) is the persistent connection (使用长连接接收回调)",
			"a card was sent, and no click of it arrived here within %s", d.cfg.Timeout)
	case <-ctx.Done():
		d.fail(check, d.tester.Value, "", "stopped before the click")
	}
}

// ready waits until the connection is open, or was refused.
func ready(ctx context.Context, connection *feishu.Connection) error {
	timer, tick := time.NewTimer(connectTime), time.NewTicker(50*time.Millisecond)
	defer timer.Stop()
	defer tick.Stop()
	for {
		err := connection.Ready(ctx)
		select {
		case <-tick.C:
			if err == nil || feishu.CodeOf(err) != 0 {
				return err
			}
		case <-timer.C:
			return err
		case <-ctx.Done():
			return fmt.Errorf("stopped: %w", ctx.Err())
		}
	}
}
