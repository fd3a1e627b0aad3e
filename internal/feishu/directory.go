package feishu

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	larkcore "github.com/larksuite/oapi-sdk-go/v3/core"
	larkcontact "github.com/larksuite/oapi-sdk-go/v3/service/contact/v3"

	"mrgate/internal/gate"
	"mrgate/internal/policy"
)

// batch is how many addresses, and how many numbers, one look-up takes
// (https://open.feishu.cn/document/server-docs/contact-v3/user/batch_get_id).
const batch = 50

// namesPause is how long no names are asked for after it was seen that the app
// may not read them: long enough not to matter, short enough to notice a scope
// that was granted.
const namesPause = time.Hour

// names remembers that the app may not read people's names.
type names struct {
	mu     sync.Mutex
	closed time.Time // until then
}

func (n *names) open(now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return !now.Before(n.closed)
}

func (n *names) close(until time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = until
}

// Resolve is the port's. Who is unknown, has left, or is outside the app's range
// looks the same to Feishu; so do people whose address is only a mailbox of
// Feishu's own mail: it looks in the contacts' e-mail field alone. An ID is its
// own answer, whether there is somebody behind it or not. Groups are nobody.
func (c *Chat) Resolve(ctx context.Context, ids []policy.Identity) (map[policy.Identity]gate.Person, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()

	people, err := c.Find(ctx, ids)
	if err != nil {
		return nil, err
	}
	c.addNames(ctx, people)
	return people, nil
}

// Find is Resolve without names, which are a call each.
func (c *Chat) Find(ctx context.Context, ids []policy.Identity) (map[policy.Identity]gate.Person, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()

	people := make(map[policy.Identity]gate.Person, len(ids))
	var emails, mobiles []string
	for _, id := range ids {
		if _, asked := people[id]; asked {
			continue
		}
		people[id] = gate.Person{}
		switch id.Kind {
		case policy.KindEmail:
			emails = append(emails, id.Value)
		case policy.KindMobile:
			mobiles = append(mobiles, id.Value)
		case policy.KindID:
			people[id] = gate.Person{ID: id.Value}
		case policy.KindGroup:
		}
	}
	found := map[string]string{} // address or number → open_id
	for len(emails)+len(mobiles) > 0 {
		var someEmails, someMobiles []string
		someEmails, emails = cut(emails)
		someMobiles, mobiles = cut(mobiles)
		if err := c.lookUp(ctx, someEmails, someMobiles, found); err != nil {
			return nil, err
		}
	}
	for id := range people {
		switch id.Kind {
		case policy.KindEmail:
			people[id] = gate.Person{ID: found[emailKey(id.Value)]}
		case policy.KindMobile:
			people[id] = gate.Person{ID: found[mobileKey(id.Value)]}
		case policy.KindID, policy.KindGroup:
		}
	}
	return people, nil
}

func cut(all []string) (some, rest []string) {
	n := min(len(all), batch)
	return all[:n], all[n:]
}

// Feishu echoes what it was asked. Should it tidy up on the way, that must not
// look like a person who does not exist. Numbers of mainland China go with and
// without +86.
func emailKey(s string) string  { return strings.ToLower(s) }
func mobileKey(s string) string { return strings.TrimPrefix(s, "+86") }

// lookUp adds to found who has these addresses and numbers.
func (c *Chat) lookUp(ctx context.Context, emails, mobiles []string, found map[string]string) error {
	req := larkcontact.NewBatchGetIdUserReqBuilder().
		UserIdType("open_id").
		Body(larkcontact.NewBatchGetIdUserReqBodyBuilder().
			Emails(slices.Clone(emails)).
			Mobiles(slices.Clone(mobiles)).
			IncludeResigned(false).
			Build()).
		Build()
	return c.call(ctx, "look people up by e-mail and mobile", func(ctx context.Context, token larkcore.RequestOptionFunc) error {
		resp, err := c.contact.User.BatchGetId(ctx, req, token)
		if err != nil {
			return err
		}
		if resp.Data == nil {
			return errors.New("the answer has no data")
		}
		for _, u := range resp.Data.UserList {
			id := larkcore.StringValue(u.UserId)
			if id == "" {
				continue
			}
			if email := larkcore.StringValue(u.Email); email != "" {
				found[emailKey(email)] = id
			}
			if mobile := larkcore.StringValue(u.Mobile); mobile != "" {
				found[mobileKey(mobile)] = id
			}
		}
		return nil
	})
}

// addNames fills the names in, as far as they may be read. They are for people to
// look at: nobody is not asked because a name could not be had.
func (c *Chat) addNames(ctx context.Context, people map[policy.Identity]gate.Person) {
	known := map[string]string{}
	for id, p := range people {
		if p.ID == "" {
			continue
		}
		name, asked := known[p.ID]
		if !asked {
			var err error
			name, err = c.name(ctx, p.ID)
			var wait *gate.RetryAfter
			if errors.As(err, &wait) || ctx.Err() != nil {
				return
			}
			known[p.ID] = name
		}
		p.Name = name
		people[id] = p
	}
}

// name asks for one person's name, unless it is known that the app may not.
func (c *Chat) name(ctx context.Context, openID string) (string, error) {
	if !c.names.open(c.now()) {
		return "", nil
	}
	name, err := c.readName(ctx, openID)
	if err == nil && name == "" || errors.Is(err, gate.ErrNotPermitted) {
		c.names.close(c.now().Add(namesPause))
		c.log.InfoContext(ctx, "the app may not read people's names in Feishu; cards name them as GitLab does",
			"scopes", "contact:contact.base:readonly and contact:user.base:readonly", "err", err)
	}
	return name, err
}

// readName asks for one person's name. It needs two scopes, contact:contact.base:readonly
// for the call and contact:user.base:readonly for the name in its answer
// (https://open.feishu.cn/document/server-docs/contact-v3/user/get).
func (c *Chat) readName(ctx context.Context, openID string) (string, error) {
	req := larkcontact.NewGetUserReqBuilder().UserId(openID).UserIdType("open_id").Build()
	var name string
	err := c.call(ctx, "read the name of "+openID, func(ctx context.Context, token larkcore.RequestOptionFunc) error {
		resp, err := c.contact.User.Get(ctx, req, token)
		if err != nil {
			return err
		}
		if resp.Data != nil && resp.Data.User != nil {
			name = literal(larkcore.StringValue(resp.Data.User.Name), 100)
		}
		return nil
	})
	return name, err
}
