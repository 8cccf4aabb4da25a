/* SPDX-License-Identifier: Apache-2.0
 *
 * ratestore_script: what counts in the store; by its clock, so that those of the proxies do not
 * matter.
 *
 *     KEYS     one for each limit
 *     ARGV     so many are wanted (below 0: given back); then for each key: requests, the time in
 *              us, burst (0: a window), whether it only counts
 *     answer   so many are given: the same of every key, 0 where one has none; then for each key:
 *              taken, left, ms until one is left, ms until all are
 *
 * A bucket is the time at which it is full again, as in counts.h. A window is a hash: t, the sum of
 * its parts, p, the number of the last one, and each part by its number; 32 parts, so a request is
 * forgotten at most a 32nd of the time late.
 */
#ifndef SLUICE_PROXY_LIMIT_RATESTORE_SCRIPT_H
#define SLUICE_PROXY_LIMIT_RATESTORE_SCRIPT_H

#define RATESTORE_SCRIPT                                                                           \
    "local PARTS = 32\n"                                                                           \
    "local clock = redis.call('TIME')\n"                                                           \
    "local now = (tonumber(clock[1]) - 1700000000) * 1000000 + tonumber(clock[2])\n"               \
    "local give, all = tonumber(ARGV[1]), {}\n"                                                    \
    "for i, key in ipairs(KEYS) do\n"                                                              \
    "  local a = 4 * i - 2\n"                                                                      \
    "  local c = {key = key, n = tonumber(ARGV[a]), per = tonumber(ARGV[a + 1]),\n"                \
    "             burst = tonumber(ARGV[a + 2]), dry = ARGV[a + 3] == '1'}\n"                      \
    "  if c.burst > 0 then\n"                                                                      \
    "    c.each = c.per / c.n\n"                                                                   \
    "    local full = tonumber(redis.call('GET', key)) or 0\n"                                     \
    "    c.missing = math.min(c.burst * c.each, math.max(0, full - now))\n"                        \
    "    c.left = math.max(0, math.floor(c.burst - c.missing / c.each + 0.000001))\n"              \
    "  else\n"                                                                                     \
    "    c.part = math.ceil(c.per / PARTS)\n"                                                      \
    "    c.at = math.floor(now / c.part)\n"                                                        \
    "    local had = redis.call('HMGET', key, 't', 'p')\n"                                         \
    "    c.sum = tonumber(had[1]) or 0\n"                                                          \
    "    local last = tonumber(had[2]) or c.at\n"                                                  \
    "    for part = math.max(last, c.at - PARTS - 1) - PARTS, c.at - PARTS - 1 do\n"               \
    "      local gone = redis.call('HGET', key, part)\n"                                           \
    "      if gone then\n"                                                                         \
    "        c.sum = c.sum - tonumber(gone)\n"                                                     \
    "        redis.call('HDEL', key, part)\n"                                                      \
    "      end\n"                                                                                  \
    "    end\n"                                                                                    \
    "    if c.at > last then redis.call('HSET', key, 't', c.sum, 'p', c.at) end\n"                 \
    "    c.left = math.max(0, c.n - c.sum)\n"                                                      \
    "  end\n"                                                                                      \
    "  if give > 0 and not c.dry then give = math.min(give, c.left) end\n"                         \
    "  all[i] = c\n"                                                                               \
    "end\n"                                                                                        \
    "local answer = {give}\n"                                                                      \
    "for _, c in ipairs(all) do\n"                                                                 \
    "  local take, wait, full = math.min(give, c.left), 0, 0\n"                                    \
    "  if c.burst > 0 then\n"                                                                      \
    "    if take < 0 then take = math.max(take, -math.floor(c.missing / c.each + 0.000001)) end\n" \
    "    c.missing = c.missing + take * c.each\n"                                                  \
    "    if take ~= 0 then\n"                                                                      \
    "      redis.call('SET', c.key, string.format('%.3f', now + c.missing), 'PX',\n"               \
    "                 math.ceil(c.missing / 1000) + 1)\n"                                          \
    "    end\n"                                                                                    \
    "    full = c.missing\n"                                                                       \
    "    wait = c.missing + c.each - c.burst * c.each\n"                                           \
    "  else\n"                                                                                     \
    "    if take < 0 then\n"                                                                       \
    "      take = math.max(take, -tonumber(redis.call('HGET', c.key, c.at) or 0))\n"               \
    "    end\n"                                                                                    \
    "    c.sum = c.sum + take\n"                                                                   \
    "    if take ~= 0 then\n"                                                                      \
    "      redis.call('HINCRBY', c.key, c.at, take)\n"                                             \
    "      redis.call('HSET', c.key, 't', c.sum, 'p', c.at)\n"                                     \
    "      redis.call('PEXPIRE', c.key, math.ceil((PARTS + 2) * c.part / 1000))\n"                 \
    "    end\n"                                                                                    \
    "    if c.sum > 0 then full = (c.at + PARTS + 1) * c.part - now end\n"                         \
    "    local freed, part = 0, c.at - PARTS\n"                                                    \
    "    while c.left - take <= 0 and c.sum - freed >= c.n and part <= c.at do\n"                  \
    "      freed = freed + tonumber(redis.call('HGET', c.key, part) or 0)\n"                       \
    "      wait = (part + PARTS + 1) * c.part - now\n"                                             \
    "      part = part + 1\n"                                                                      \
    "    end\n"                                                                                    \
    "  end\n"                                                                                      \
    "  answer[#answer + 1] = take\n"                                                               \
    "  answer[#answer + 1] = c.left - take\n"                                                      \
    "  answer[#answer + 1] = math.max(0, math.ceil(wait / 1000))\n"                                \
    "  answer[#answer + 1] = math.max(0, math.ceil(full / 1000))\n"                                \
    "end\n"                                                                                        \
    "return answer\n"

#endif
