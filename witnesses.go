package cordon

import (
	"path/filepath"
	"reflect"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/notify"
	"github.com/cordonsip/cordon/notify/cosign"
	"github.com/cordonsip/cordon/sovereign"
)

// buildWitnesses makes what asks the witnesses of the log, if there are any: each through the fence, like a webhook.
func (n *Node) buildWitnesses(c *configs.Config) error {
	m, err := cosign.NewMetrics(n.opts.Metrics)
	if err != nil || len(c.Witnesses.List) == 0 {
		return err
	}
	var list []cosign.Witness
	for _, w := range c.Witnesses.List {
		out, err := notify.NewOutlet(notify.OutletConfig{
			URL: w.URL, Roots: w.Roots, Resolve: n.resolver.Host, Dial: n.fence.Dialer("", sovereign.Infrastructure, n.dialInfrastructure),
		})
		if err != nil {
			return err
		}
		list = append(list, cosign.Witness{Key: w.Key, To: out})
	}
	n.asker, err = cosign.New(cosign.Config{
		Log: n.log, Witnesses: list, Quorum: c.Witnesses.Quorum, Keep: n.keepCosigned, Metrics: m, Logger: n.logger.With("room", "cosign"), Every: c.Witnesses.Every,
	})
	return err
}

// keepCosigned puts a checkpoint that witnesses signed where `cordon verify --witness` finds it. A log in memory has no such place, and ends with us.
func (n *Node) keepCosigned(raw []byte) error {
	if n.opts.Memory {
		return nil
	}
	return audit.KeepCosigned(filepath.Join(n.opts.Config.StateDir, "log"), raw)
}

// sameWitnesses says whether two configurations ask the same witnesses in the same way.
func sameWitnesses(a, b configs.Log) bool {
	return reflect.DeepEqual(a.Witnesses, b.Witnesses) && a.Quorum == b.Quorum && a.WitnessEvery == b.WitnessEvery
}
