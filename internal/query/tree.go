package query

import (
	"strconv"

	"github.com/prometheus/prometheus/promql/parser"
)

// tree is an expression as parse_query shows it. The keys are those of Prometheus.
type tree map[string]any

// treeOf returns the tree of an expression; nil where there is none.
func treeOf(node parser.Expr) any {
	switch n := node.(type) {
	case *parser.AggregateExpr:
		return tree{
			"type": "aggregation", "op": n.Op.String(), "expr": treeOf(n.Expr), "param": treeOf(n.Param),
			"grouping": names(n.Grouping), "without": n.Without,
		}
	case *parser.BinaryExpr:
		return tree{
			"type": "binaryExpr", "op": n.Op.String(), "lhs": treeOf(n.LHS), "rhs": treeOf(n.RHS),
			"matching": matchingOf(n.VectorMatching), "bool": n.ReturnBool,
		}
	case *parser.Call:
		args := make([]any, len(n.Args))
		for i, arg := range n.Args {
			args[i] = treeOf(arg)
		}
		return tree{"type": "call", "args": args, "func": tree{
			"name": n.Func.Name, "argTypes": n.Func.ArgTypes, "variadic": n.Func.Variadic, "returnType": n.Func.ReturnType,
		}}
	case *parser.MatrixSelector:
		selector, ok := n.VectorSelector.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		t := selectorOf(selector)
		t["type"], t["range"], t["rangeExpr"] = "matrixSelector", n.Range.Milliseconds(), nil
		return t
	case *parser.VectorSelector:
		return selectorOf(n)
	case *parser.SubqueryExpr:
		return tree{
			"type": "subquery", "expr": treeOf(n.Expr), "range": n.Range.Milliseconds(), "rangeExpr": nil,
			"offset": n.OriginalOffset.Milliseconds(), "offsetExpr": nil, "step": n.Step.Milliseconds(), "stepExpr": nil,
			"timestamp": n.Timestamp, "startOrEnd": startOrEnd(n.StartOrEnd),
		}
	case *parser.NumberLiteral:
		return tree{"type": "numberLiteral", "val": strconv.FormatFloat(n.Val, 'f', -1, 64)}
	case *parser.ParenExpr:
		return tree{"type": "parenExpr", "expr": treeOf(n.Expr)}
	case *parser.StringLiteral:
		return tree{"type": "stringLiteral", "val": n.Val}
	case *parser.UnaryExpr:
		return tree{"type": "unaryExpr", "op": n.Op.String(), "expr": treeOf(n.Expr)}
	default:
		return nil
	}
}

func selectorOf(n *parser.VectorSelector) tree {
	matchers := make([]tree, len(n.LabelMatchers))
	for i, m := range n.LabelMatchers {
		matchers[i] = tree{"name": m.Name, "value": m.Value, "type": m.Type.String()}
	}
	return tree{
		"type": "vectorSelector", "name": n.Name, "offset": n.OriginalOffset.Milliseconds(), "offsetExpr": nil, "matchers": matchers,
		"timestamp": n.Timestamp, "startOrEnd": startOrEnd(n.StartOrEnd), "anchored": n.Anchored, "smoothed": n.Smoothed,
	}
}

func matchingOf(m *parser.VectorMatching) any {
	if m == nil {
		return nil
	}
	return tree{
		"card": m.Card.String(), "labels": names(m.MatchingLabels), "on": m.On, "include": names(m.Include),
		"fillValues": tree{"lhs": m.FillValues.LHS, "rhs": m.FillValues.RHS},
	}
}

func names(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func startOrEnd(item parser.ItemType) any {
	if item == 0 {
		return nil
	}
	return item.String()
}
