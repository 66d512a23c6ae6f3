package pdf

import (
	"fmt"
	"strings"
)

// structure writes the tree of elements, and of each page which element a marked content is of: 14.7.
func (f *File) structure(w *writer, tree, parents, first int) {
	ids := map[*Element]int{}
	number(f.root, w, ids)
	f.element(w, f.root, tree, first, ids)
	w.object(tree, fmt.Sprintf("<</Type /StructTreeRoot /K %d 0 R /ParentTree %d 0 R /ParentTreeNextKey %d>>", ids[f.root], parents, len(f.pages)))
	var nums strings.Builder
	for k, p := range f.pages {
		fmt.Fprintf(&nums, "%d [", k)
		for _, e := range p.marked {
			fmt.Fprintf(&nums, "%d 0 R ", ids[e])
		}
		nums.WriteString("] ")
	}
	w.object(parents, fmt.Sprintf("<</Nums [%s]>>", strings.TrimSpace(nums.String())))
}

// number gives each element an object, in the order of reading.
func number(e *Element, w *writer, ids map[*Element]int) {
	ids[e] = w.id()
	for _, k := range e.kids {
		if child, ok := k.(*Element); ok {
			number(child, w, ids)
		}
	}
}

func (f *File) element(w *writer, e *Element, up, first int, ids map[*Element]int) {
	var kids strings.Builder
	for _, k := range e.kids {
		switch k := k.(type) {
		case *Element:
			fmt.Fprintf(&kids, "%d 0 R ", ids[k])
		case content:
			fmt.Fprintf(&kids, "<</Type /MCR /Pg %d 0 R /MCID %d>> ", first+2*k.page, k.id)
		}
	}
	more := ""
	if e.alt != "" {
		more += " /Alt " + text(e.alt)
	}
	if e.scope != "" {
		more += " /A <</O /Table /Scope /" + e.scope + ">>"
	}
	if b := e.box; b != nil {
		more += fmt.Sprintf(" /A <</O /Layout /BBox [%s %s %s %s]>>", num(b[0]), num(b[1]), num(b[2]), num(b[3]))
	}
	w.object(ids[e], fmt.Sprintf("<</Type /StructElem /S /%s /P %d 0 R /K [%s]%s>>", e.tag, up, strings.TrimSpace(kids.String()), more))
	for _, k := range e.kids {
		if child, ok := k.(*Element); ok {
			f.element(w, child, ids[e], first, ids)
		}
	}
}

// outline writes the bookmarks as a tree by their levels: 12.3.3.
func (f *File) outline(w *writer, id, first int) {
	type node struct {
		id, level     int
		up            *node
		kids          []*node
		title, target string
	}
	root := &node{id: id}
	at, all := root, []*node(nil)
	for _, m := range f.marks {
		for at.up != nil && at.level >= m.level {
			at = at.up
		}
		n := &node{id: w.id(), level: m.level, up: at, title: text(m.title), target: fmt.Sprintf("[%d 0 R /XYZ null %s null]", first+2*m.page, num(f.height-m.y))}
		at.kids = append(at.kids, n)
		all = append(all, n)
		at = n
	}
	ends := func(n *node) string {
		if len(n.kids) == 0 {
			return ""
		}
		return fmt.Sprintf(" /First %d 0 R /Last %d 0 R /Count %d", n.kids[0].id, n.kids[len(n.kids)-1].id, len(n.kids))
	}
	w.object(id, "<</Type /Outlines"+ends(root)+">>")
	for _, n := range all {
		beside := ""
		for k, other := range n.up.kids {
			if other == n && k > 0 {
				beside += fmt.Sprintf(" /Prev %d 0 R", n.up.kids[k-1].id)
			}
			if other == n && k+1 < len(n.up.kids) {
				beside += fmt.Sprintf(" /Next %d 0 R", n.up.kids[k+1].id)
			}
		}
		shut := strings.Replace(ends(n), "/Count ", "/Count -", 1) // opened by whoever reads
		w.object(n.id, fmt.Sprintf("<</Title %s /Parent %d 0 R /Dest %s%s%s>>", n.title, n.up.id, n.target, beside, shut))
	}
}
