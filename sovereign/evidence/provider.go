package evidence

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Providers are those whose feeds are read.
func Providers() []string { return []string{"aws", "azure", "gcp"} }

// ParseProvider reads the address ranges that a cloud provider publishes, as JSON: of aws (ip-ranges.json: network_border_group, never region, because local zones
// may stand in another country than their region), azure (service tags) or gcp (cloud.json). What is announced for the whole world is of no one region.
// A prefix that does not read fails the file: it is made by machines.
func ParseProvider(provider string, data []byte) (*Table, error) {
	if len(data) > MaxFile {
		return nil, fmt.Errorf("evidence: a feed of %d bytes: the most is %d", len(data), MaxFile)
	}
	t := &Table{Kind: ProviderFeed, Provider: provider}
	var err error
	switch provider {
	case "aws":
		err = t.aws(data)
	case "azure":
		err = t.azure(data)
	case "gcp":
		err = t.gcp(data)
	default:
		return nil, fmt.Errorf("evidence: %q is no provider whose feed is read: one of %s", provider, strings.Join(Providers(), ", "))
	}
	if err != nil {
		return nil, fmt.Errorf("evidence: feed of %s: %w", provider, err)
	}
	if len(t.rows) == 0 {
		return nil, fmt.Errorf("evidence: feed of %s: it has no prefix: is it the right file?", provider)
	}
	t.seal()
	return t, nil
}

// add takes one prefix in. Where a feed has it for two regions, it says nothing.
func (t *Table) add(text, region string) error {
	p, err := prefix(text)
	if err != nil {
		return err
	}
	if len(t.rows) >= maxRows {
		return fmt.Errorf("more than %d prefixes", maxRows)
	}
	r := row{region: region}
	if before, ok := t.rows[p]; ok {
		switch {
		case region == "" || before.twice: // a tag for the whole world lists regional blocks again
			r = before
		case before.region != "" && before.region != region:
			r.twice = true
		}
	}
	t.put(p, r)
	return nil
}

func (t *Table) aws(data []byte) error {
	var f struct {
		Prefixes []struct {
			Prefix string `json:"ip_prefix"`
			Group  string `json:"network_border_group"`
		} `json:"prefixes"`
		IPv6 []struct {
			Prefix string `json:"ipv6_prefix"`
			Group  string `json:"network_border_group"`
		} `json:"ipv6_prefixes"`
	}
	if err := json.Unmarshal(data, &f); err != nil {
		return err
	}
	region := func(group string) string {
		if group == "GLOBAL" {
			return ""
		}
		return group
	}
	for _, p := range f.Prefixes {
		if err := t.add(p.Prefix, region(p.Group)); err != nil {
			return err
		}
	}
	for _, p := range f.IPv6 {
		if err := t.add(p.Prefix, region(p.Group)); err != nil {
			return err
		}
	}
	return nil
}

// azureTags gives the names of the catalogue for the short ones of service tags; the others are the same in both.
var azureTags = map[string]string{
	"germanywc": "germanywestcentral", "germanyn": "germanynorth", "switzerlandn": "switzerlandnorth", "switzerlandw": "switzerlandwest",
	"norwaye": "norwayeast", "norwayw": "norwaywest", "centralfrance": "francecentral", "southfrance": "francesouth",
}

func (t *Table) azure(data []byte) error {
	var f struct {
		Values []struct {
			Properties struct {
				Region   string   `json:"region"`
				Prefixes []string `json:"addressPrefixes"`
			} `json:"properties"`
		} `json:"values"`
	}
	if err := json.Unmarshal(data, &f); err != nil {
		return err
	}
	for _, v := range f.Values {
		region := v.Properties.Region
		if long, ok := azureTags[region]; ok {
			region = long
		}
		for _, p := range v.Properties.Prefixes {
			if err := t.add(p, region); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *Table) gcp(data []byte) error {
	var f struct {
		Prefixes []struct {
			IPv4  string `json:"ipv4Prefix"`
			IPv6  string `json:"ipv6Prefix"`
			Scope string `json:"scope"`
		} `json:"prefixes"`
	}
	if err := json.Unmarshal(data, &f); err != nil {
		return err
	}
	for _, p := range f.Prefixes {
		scope := p.Scope
		if scope == "global" {
			scope = ""
		}
		text := p.IPv4
		if text == "" {
			text = p.IPv6
		}
		if err := t.add(text, scope); err != nil {
			return err
		}
	}
	return nil
}
