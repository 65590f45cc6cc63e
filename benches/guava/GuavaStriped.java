import com.google.common.util.concurrent.Striped;
import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.Lock;

/** Guava's Striped on the workloads of the report: one key, many keys, two threads, writers asleep. */
public final class GuavaStriped {
  private static final int STRIPES = 64;
  private static final int RING = 1024;
  private static final int ROUNDS = 15;
  private static final int OPERATIONS = 2_000_000;

  private interface Work {
    void run(int operations);
  }

  private static long sink;

  public static void main(String[] arguments) throws Exception {
    Long[] ring = ring(1, RING);
    Striped<Lock> striped = Striped.lock(STRIPES);
    System.out.println("| Guava Striped.lock, " + STRIPES + " stripes | ns | quartiles |");
    System.out.println("|---|---:|---:|");
    row("one key, one thread", OPERATIONS, n -> {
      for (int i = 0; i < n; i++) {
        Lock lock = striped.get(ring[i & (RING - 1)]);
        lock.lock();
        try {
          sink++;
        } finally {
          lock.unlock();
        }
      }
    });
    for (int count : new int[] {2, 8, 64}) {
      Long[] many = ring(count, RING * count);
      row(count + " keys at once (bulkGet), one thread", OPERATIONS / 8 / count, n -> {
        for (int i = 0; i < n; i++) {
          int first = (i & (RING - 1)) * count;
          Iterable<Lock> locks = striped.bulkGet(Arrays.asList(many).subList(first, first + count));
          for (Lock lock : locks) {
            lock.lock();
          }
          sink++;
          for (Lock lock : locks) {
            lock.unlock();
          }
        }
      });
    }
    row("two threads, random keys", OPERATIONS, n -> twoThreads(striped, ring, n));

    System.out.println();
    System.out.println("| 16 threads that hold a fresh key over a sleep of 1 ms, by stripes | times one stripe |");
    System.out.println("|---|---:|");
    double one = 0;
    for (int stripes : new int[] {1, 8, 16, 32, 64, 256}) {
      double[] rates = new double[5];
      for (int round = 0; round < rates.length; round++) {
        rates[round] = asleep(Striped.lock(stripes), 400);
      }
      Arrays.sort(rates);
      double rate = rates[rates.length / 2];
      one = stripes == 1 ? rate : one;
      System.out.printf("| %d | %.2f |%n", stripes, rate / one);
    }
    System.err.println("(" + sink + " sections)");
  }

  private static Long[] ring(long seed, int length) {
    SplittableRandom random = new SplittableRandom(seed);
    Long[] keys = new Long[length];
    Arrays.setAll(keys, i -> random.nextLong());
    return keys;
  }

  private static void row(String name, int operations, Work work) {
    for (int i = 0; i < 3; i++) {
      work.run(operations);
    }
    double[] nanos = new double[ROUNDS];
    for (int round = 0; round < ROUNDS; round++) {
      long start = System.nanoTime();
      work.run(operations);
      nanos[round] = (double) (System.nanoTime() - start) / operations;
    }
    Arrays.sort(nanos);
    System.out.printf(
        "| %s | %.1f | %.1f .. %.1f |%n", name, nanos[ROUNDS / 2], nanos[ROUNDS / 4], nanos[ROUNDS * 3 / 4]);
  }

  private static void twoThreads(Striped<Lock> striped, Long[] ring, int operations) {
    Thread[] threads = new Thread[2];
    for (int t = 0; t < threads.length; t++) {
      int offset = t * RING / threads.length;
      threads[t] = new Thread(() -> {
        long sections = 0;
        for (int i = 0; i < operations / threads.length; i++) {
          Lock lock = striped.get(ring[(i + offset) & (RING - 1)]);
          lock.lock();
          try {
            sections++;
          } finally {
            lock.unlock();
          }
        }
        synchronized (GuavaStriped.class) {
          sink += sections;
        }
      });
    }
    for (Thread thread : threads) {
      thread.start();
    }
    try {
      for (Thread thread : threads) {
        thread.join();
      }
    } catch (InterruptedException interrupted) {
      throw new IllegalStateException(interrupted);
    }
  }

  /** Sections per second of 16 threads, measured while all of them run. */
  private static double asleep(Striped<Lock> striped, long millis) throws InterruptedException {
    AtomicLong done = new AtomicLong();
    CountDownLatch ready = new CountDownLatch(16);
    Thread[] threads = new Thread[16];
    for (int t = 0; t < threads.length; t++) {
      SplittableRandom random = new SplittableRandom(t);
      threads[t] = new Thread(() -> {
        ready.countDown();
        try {
          while (!Thread.interrupted()) {
            Lock lock = striped.get(random.nextLong());
            lock.lockInterruptibly();
            try {
              Thread.sleep(1);
            } finally {
              lock.unlock();
            }
            done.incrementAndGet();
          }
        } catch (InterruptedException over) {
          // The measurement has ended.
        }
      });
      threads[t].start();
    }
    ready.await();
    Thread.sleep(50);
    long before = done.get();
    long start = System.nanoTime();
    Thread.sleep(millis);
    double rate = (done.get() - before) * 1e9 / (System.nanoTime() - start);
    for (Thread thread : threads) {
      thread.interrupt();
    }
    for (Thread thread : threads) {
      thread.join();
    }
    return rate;
  }
}
