package cordon

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"github.com/cordonsip/cordon/state"
)

// alarms remembers over restarts which alarms people were told of and since when, so that their end is told, too: a page that nobody ends is one that nobody believes.
// The state is a cache: an end that is lost with it stands in the log by what follows.
type alarms struct {
	kv     state.KV
	logger *slog.Logger
	key    string
	told   map[string]time.Time
}

// recall reads what an earlier run left.
func recall(ctx context.Context, kv state.KV, logger *slog.Logger, key string) *alarms {
	a := &alarms{kv: kv, logger: logger, key: key, told: map[string]time.Time{}}
	item, err := kv.Get(ctx, key)
	if err == nil {
		err = json.Unmarshal(item.Data, &a.told)
	}
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		a.told = map[string]time.Time{}
		logger.Warn("which alarms people were told of before is not known", "what", key, "error", err)
	}
	return a
}

func (a *alarms) is(name string) bool { return !a.told[name].IsZero() }

// raise and end change what people know. They come behind the entry in the log: where the state then fails, a restart tells it once more.
func (a *alarms) raise(ctx context.Context, name string, since time.Time) {
	a.told[name] = since
	a.keep(ctx)
}

func (a *alarms) end(ctx context.Context, name string) {
	if !a.is(name) {
		return
	}
	delete(a.told, name)
	a.keep(ctx)
}

func (a *alarms) keep(ctx context.Context) {
	data, err := json.Marshal(a.told)
	var item state.Item
	if err == nil {
		item, err = a.kv.Get(ctx, a.key)
	}
	if err == nil || errors.Is(err, state.ErrNotFound) {
		_, err = a.kv.Swap(ctx, a.key, item.Rev, data)
	}
	if err != nil && ctx.Err() == nil {
		a.logger.Warn("which alarms people were told of could not be kept", "what", a.key, "error", err)
	}
}
