// Package guard says whether a drill may begin now: windows and blocked dates, how much traffic there is, who asks, and what else is going on.
//
// It is pure: the rules are the configuration's and the facts are given to it, so that a plan, a start and a test are judged by the same code. A guard never permits
// anything that the policy does not: it can only keep a drill from beginning. It imports drill/scenario and internal/strict.
package guard
