package notify

import (
	"context"
	"crypto/rand"
	"sync"
	"time"

	"github.com/cordonsip/cordon/audit"
)

// KindTest is the kind of a message that tests an outlet. No entry of the log has it.
const KindTest audit.Kind = "notify.test"

// Asker is a channel that can give the answer of the far side, in a word or a line, without a secret.
type Asker interface {
	Ask(ctx context.Context, n Notice) (answer string, retry bool, err error)
}

// ask sends n once and gives what the far side answered, where the channel knows.
func ask(ctx context.Context, c Channel, n Notice) (answer string, retry bool, err error) {
	if a, ok := c.(Asker); ok {
		return a.Ask(ctx, n)
	}
	retry, err = c.Send(ctx, n)
	return "", retry, err
}

// Tried is what came of a test.
type Tried struct {
	Channel string
	Took    time.Duration
	Answer  string
	Failure string // empty: delivered
}

// Test sends one marked message through an outlet ("": through each, at the same time) and gives what the far sides answered.
func (f *Follower) Test(ctx context.Context, name string) ([]Tried, error) {
	routes, err := f.find(name)
	if err != nil {
		return nil, err
	}
	n := Notice{
		ID: "test-" + rand.Text(), Kind: KindTest, Time: time.Now().UTC(), Tenant: f.c.Tenant, Node: f.c.Node, Subject: f.c.Node,
		Summary: "TEST of the notification outlets; nobody has to do anything", Data: map[string]any{"test": true},
	}
	out := make([]Tried, len(routes))
	var wg sync.WaitGroup
	for i, r := range routes {
		wg.Go(func() {
			begun := time.Now()
			t := Tried{Channel: r.channel.Name()}
			answer, err := "", f.meets(ctx, t.Channel)
			if err == nil {
				once, cancel := context.WithTimeout(ctx, f.c.SendTimeout)
				answer, _, err = ask(once, r.channel, n)
				cancel()
			}
			if t.Answer = answer; err != nil {
				t.Failure = err.Error()
			}
			t.Took = time.Since(begun)
			out[i] = t
		})
	}
	wg.Wait()
	return out, nil
}
