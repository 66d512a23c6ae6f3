package configs

import (
	"fmt"
	"slices"

	"github.com/cordonsip/cordon/review"
)

// Reviews is how often people review what is in force, and who. RTS (EU) 2024/1774 Art. 13(1)(h), 21(e)(iv).
type Reviews struct {
	// Months between two reviews of the filter rules, 1 to 12; default 6.
	FilterMonths int `yaml:"filter_every_months,omitempty"`
	// Months between two reviews of the access rights, 1 to 12; default 6.
	AccessMonths int `yaml:"access_every_months,omitempty"`
	// Days before a review is due on which people are warned; default 30 and 7.
	WarnDays []int `yaml:"warn_days,omitempty"`
	// Roles in which a review counts; default auditor, ciso, business_owner and management_body_delegate.
	Roles []string `yaml:"roles,omitempty"`
}

func (b *builder) reviews(c *Config) {
	r := &b.doc.file.Reviews
	c.Reviews = review.Settings{Every: map[review.Kind]int{review.Filter: r.FilterMonths, review.Access: r.AccessMonths}, Warn: r.WarnDays, Roles: r.Roles, Signed: c.Gate.Signed}
	for path, n := range map[string]int{"reviews.filter_every_months": r.FilterMonths, "reviews.access_every_months": r.AccessMonths} {
		if n < 0 || n > 12 {
			b.fail(path, "between 1 and 12", "%d is out of range", n)
		} else if n > review.Months {
			b.warn(path, "leave it out: RTS (EU) 2024/1774 Art. 13 and 21 want a review at least every 6 months", "systems that support critical or important functions are reviewed more often than every %d months", n)
		}
	}
	for i, d := range r.WarnDays {
		if d < 1 || d > 180 {
			b.fail(fmt.Sprintf("reviews.warn_days[%d]", i), "between 1 and 180", "%d is out of range", d)
		}
	}
	for i, role := range r.Roles {
		at := fmt.Sprintf("reviews.roles[%d]", i)
		switch {
		case role == "dpo" || role == "operator":
			b.fail(at, "auditor, or a role that decides", "%s runs what is reviewed, or advises on it", role)
		case !slices.Contains(roles, role):
			b.fail(at, b.roleHint(role), "%.80q is no role", role)
		}
	}
}
