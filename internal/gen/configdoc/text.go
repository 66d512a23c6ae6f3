package main

import (
	"fmt"
	"strings"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/notify"
)

const head = `# The configuration file

<!-- Written by internal/gen/configdoc from the types of package configs. Change the comments there, then: make generate -->

One YAML file holds everything. It is read strictly: an unknown key, a key that stands twice, an anchor or an alias is an error with its line and a hint. ` + "`cordon check FILE`" + `
explains a file or its errors, ` + "`cordon schema`" + ` prints the JSON schema for editors, and [the examples](../../configs/examples) are each booted by a test.

- Keys in **bold** have no default. The others may be left out.
- Durations are written with their unit: ` + "`4s`, `10m`, `72h`" + `. Days are ` + "`YYYY-MM-DD`" + ` in UTC; a last day counts to its end.
- Regions are written ` + "`provider:code`" + ` (` + "`aws:eu-central-1`" + `): the code alone names different cities at different providers. A colon inside braces needs quotes.
- Countries are ISO 3166-1 alpha-2. Quote Norway: ` + "`'NO'`" + `.
- Relative paths start at the folder of the file.
- SIGHUP or ` + "`POST /api/v1/reload`" + ` reads the file again and puts it in force without touching a call. ` + "`tenant`, `node`, `media`, `dns`, `limits`, `log`, `api.address`" + `, and of the listeners everything but
  their certificates need a restart: a change there refuses the whole reload, and the old configuration stays in force.
`

// fromCode is what a comment cannot know: defaults and bounds that stand in other rooms, as they are now.
func fromCode() (map[string]string, error) {
	c, err := configs.Parse("least.yaml", []byte(least))
	if err != nil {
		return nil, fmt.Errorf("the least configuration: %w", err)
	}
	calls := "without it there is no limit."
	if c.Limits.MaxCalls > 0 {
		calls = fmt.Sprintf("default %d.", c.Limits.MaxCalls)
	}
	gate := approval.DefaultRules()
	return map[string]string{
		"Limits.max_calls":    "Concurrent calls of the node; " + calls,
		"Gate.quorum":         fmt.Sprintf("Distinct people in distinct roles; default %d, never less than 2.", gate.Quorum),
		"Gate.roles":          "Roles that may approve; default " + strings.Join(gate.Roles, ", ") + ". `dpo` is refused here.",
		"Gate.approve_in":     fmt.Sprintf("Approval clock; default %s, at most 24h.", short(gate.ApproveIn.String())),
		"Gate.execute_in":     fmt.Sprintf("Execution clock; default %s, at most 24h.", short(gate.ExecuteIn.String())),
		"Gate.grant_for":      fmt.Sprintf("Length of a grant; default %s, at most %s.", short(gate.GrantFor.String()), short(gate.GrantMax.String())),
		"Channel.kinds":       "Kinds of entries, `failover.*` for all that begin so; default: " + strings.Join(notify.DefaultKinds(), ", ") + ".",
		"Log.reserve":         "Bytes preallocated on disk, at least 1MiB; default 64MiB.",
		"Party.sources":       "Prefixes that its requests come from; default: the literal addresses of its members. A party with none is never listened to.",
		"Party.media_regions": "Where its media may be terminated; default: region. Needs `media_evidence`.",
		"Choice.weight":       "Share among equal priorities. Where none of them has a weight, the one with the shortest round trip is first.",
		"Member.weight":       "Share among equal priorities. Where none of them has a weight, the one with the shortest round trip is first.",
	}, nil
}

// short drops what Go writes behind a round duration: 30m0s is 30m.
func short(d string) string {
	if rest, ok := strings.CutSuffix(d, "m0s"); ok {
		d = rest + "m"
	}
	if rest, ok := strings.CutSuffix(d, "h0m"); ok {
		d = rest + "h"
	}
	return d
}

// least is a file with nothing in it that has a default.
const least = `tenant: {org_id: o}
node: {name: n, state_dir: s}
policy: {home: "aws:eu-central-1"}
places: [{prefix: 127.1.0.0/16, region: "aws:eu-central-1", contract: c}]
listeners: [{transport: udp, address: "127.5.0.10:0"}]
trunks: [{name: t, region: "aws:eu-central-1", members: [{host: 127.1.0.10}]}]
edge_groups: [{name: g, region: "aws:eu-central-1", members: [{host: 127.1.0.11}]}]
routes: [{name: r, direction: inbound, to: [{party: g}]}]
`
