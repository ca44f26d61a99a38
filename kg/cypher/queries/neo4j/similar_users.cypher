// The users whose vectors point most in the direction of a user's, by the vector index of the run that serves: (1 + cosine) / 2.
MATCH (p:GraphrecallPointer {name: 'serving'}) MATCH (u:<user> {<user.key>: $user_id})
WITH p, u WHERE u[p.vector] IS NOT NULL
CALL db.index.vector.queryNodes(p.users_index, $k + 1, u[p.vector]) YIELD node, score
WITH u, node, score, p WHERE node <> u
RETURN <user.id node> AS user, score AS similarity, p.run AS run
ORDER BY similarity DESC, user LIMIT $k
