// Package drill plays scenarios on a node: it takes away and gives back, places calls, watches what production feels, stops by itself, and restores.
//
// It never attacks anybody: Hands change what the node itself sees and sends, as a lease that ends by itself when nobody renews it, so that a play whose runner is gone is
// over. What it finds is judged by drill/measure. It imports drill/measure and drill/scenario.
package drill
