package s3

import (
	"encoding/xml"
	"fmt"
	"strings"
)

// listed is one page of a listing.
type listed struct {
	keys []string
	next string // token of the next page, "" for none
}

func parseList(raw []byte, prefix string) (listed, error) {
	var x struct {
		XMLName  xml.Name `xml:"ListBucketResult"`
		Contents []struct {
			Key string `xml:"Key"`
		} `xml:"Contents"`
		Truncated bool   `xml:"IsTruncated"`
		Next      string `xml:"NextContinuationToken"`
	}
	if err := xml.Unmarshal(raw, &x); err != nil {
		return listed{}, fmt.Errorf("s3: list: the answer does not read: %w", err)
	}
	var p listed
	for _, c := range x.Contents {
		if !strings.HasPrefix(c.Key, prefix) {
			return listed{}, fmt.Errorf("s3: list: the answer names what was not asked for")
		}
		p.keys = append(p.keys, c.Key)
	}
	if x.Truncated {
		if p.next = x.Next; p.next == "" {
			return listed{}, fmt.Errorf("s3: list: the answer breaks off and says not where")
		}
	}
	return p, nil
}

// versions is one page of a listing of versions.
type versions struct {
	objects              []Object
	nextKey, nextVersion string
}

func parseVersions(raw []byte, prefix string) (versions, error) {
	type version struct {
		XMLName xml.Name
		Key     string `xml:"Key"`
		ID      string `xml:"VersionId"`
		Size    int64  `xml:"Size"`
	}
	var x struct {
		XMLName     xml.Name  `xml:"ListVersionsResult"`
		All         []version `xml:",any"`
		Truncated   bool      `xml:"IsTruncated"`
		NextKey     string    `xml:"NextKeyMarker"`
		NextVersion string    `xml:"NextVersionIdMarker"`
	}
	if err := xml.Unmarshal(raw, &x); err != nil {
		return versions{}, fmt.Errorf("s3: list versions: the answer does not read: %w", err)
	}
	var p versions
	for _, v := range x.All {
		if v.XMLName.Local != "Version" && v.XMLName.Local != "DeleteMarker" {
			continue // what else the answer says of itself
		}
		if !strings.HasPrefix(v.Key, prefix) {
			return versions{}, fmt.Errorf("s3: list versions: the answer names what was not asked for")
		}
		p.objects = append(p.objects, Object{Key: v.Key, Version: v.ID, Size: v.Size, Deleted: v.XMLName.Local == "DeleteMarker"})
	}
	if x.Truncated {
		if p.nextKey, p.nextVersion = x.NextKey, x.NextVersion; p.nextKey == "" {
			return versions{}, fmt.Errorf("s3: list versions: the answer breaks off and says not where")
		}
	}
	return p, nil
}

func parseLocking(raw []byte) (Locking, error) {
	var x struct {
		XMLName xml.Name `xml:"ObjectLockConfiguration"`
		Enabled string   `xml:"ObjectLockEnabled"`
		Rule    *struct {
			Default *struct {
				Mode string `xml:"Mode"`
			} `xml:"DefaultRetention"`
		} `xml:"Rule"`
	}
	if err := xml.Unmarshal(raw, &x); err != nil {
		return Locking{}, fmt.Errorf("s3: object lock of the bucket: the answer does not read: %w", err)
	}
	return Locking{Enabled: x.Enabled == "Enabled", Default: x.Rule != nil && x.Rule.Default != nil && x.Rule.Default.Mode != ""}, nil
}
