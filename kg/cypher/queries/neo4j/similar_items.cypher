// The items whose vectors point most in the direction of an item's, by the vector index of the run that serves: (1 + cosine) / 2.
MATCH (p:GraphrecallPointer {name: 'serving'}) MATCH (i:<item> {<item.key>: $item_id})
WITH p, i WHERE i[p.vector] IS NOT NULL
CALL db.index.vector.queryNodes(p.items_index, $k + 1, i[p.vector]) YIELD node, score
WITH i, node, score, p WHERE node <> i
RETURN <item.id node> AS item, score AS similarity, p.run AS run
ORDER BY similarity DESC, item LIMIT $k
