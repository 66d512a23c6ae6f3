package cordon

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/sovereign"
	"github.com/cordonsip/cordon/state"
	"github.com/prometheus/client_golang/prometheus"
)

// endings watches the instruments that parties rest on and that end by their own clock, and tells people in time: a transfer impact assessment takes months.
type endings struct {
	node *Node
	days *prometheus.GaugeVec
}

const (
	endingsEvery = time.Hour
	endingsKey   = "law.endings" // in the state: what was told, so that a restart tells nothing twice
)

func newEndings(n *Node) (*endings, error) {
	e := &endings{node: n, days: prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "cordon_law_days_left", Help: "Days until an instrument ends that trunks or edge groups rest on.",
	}, []string{"instrument"})}
	return e, n.opts.Metrics.Register(e.days)
}

// Run looks now and each hour until ctx ends.
func (e *endings) Run(ctx context.Context) error {
	tick := time.NewTicker(endingsEvery)
	defer tick.Stop()
	for {
		e.look(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look tells of each threshold once. Of several that are behind already it tells of the nearest alone.
func (e *endings) look(ctx context.Context) {
	now := time.Now()
	list := e.node.fence.Snapshot().Endings(now)
	e.days.Reset()
	told := map[string]bool{}
	item, err := e.node.kv.Get(ctx, endingsKey)
	if err == nil {
		err = json.Unmarshal(item.Data, &told)
	}
	if ctx.Err() != nil {
		return // the node ends: the next run looks
	}
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		e.node.logger.Error("what was told of the ends of instruments cannot be read; nothing is told now", "error", err)
		return
	}
	changed := false
	for _, x := range list {
		e.days.WithLabelValues(x.Instrument).Set(float64(x.Days))
		var due []int
		for _, d := range sovereign.EndingDays() {
			if x.Days <= d {
				due = append(due, d)
			}
		}
		key := func(d int) string { return x.Instrument + " " + x.Until.Format(time.DateOnly) + " " + strconv.Itoa(d) }
		if len(due) == 0 || told[key(slices.Min(due))] {
			continue
		}
		ev := audit.LawEnding{Instrument: x.Instrument, Country: string(x.Country), Until: x.Until, Threshold: slices.Min(due), Days: x.Days, Parties: x.Parties}
		if _, err := e.node.log.Append(ctx, ev); err != nil {
			e.node.logger.Error("the end of an instrument could not be logged; it is tried again in an hour", "instrument", x.Instrument, "error", err)
			continue
		}
		for _, d := range due {
			told[key(d)] = true
		}
		changed = true
	}
	if !changed {
		return
	}
	data, err := json.Marshal(told)
	if err == nil {
		_, err = e.node.kv.Swap(ctx, endingsKey, item.Rev, data)
	}
	if err != nil {
		e.node.logger.Warn("what was told of the ends of instruments could not be stored; a restart may tell it again", "error", err)
	}
}
