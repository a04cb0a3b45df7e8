//! Over the wire: the executable against emulators that other people wrote (moto for ECS and the load balancer, ministack for CloudWatch).
//!
//! The estate is seeded through boto3 and read back with the AWS CLI, so that neither the question nor the answer is in our own code's words. What the
//! emulators had to be taught is listed in `tests/emulator/repairs.py` and `player.py`: there our word stands in for AWS's.
//!
//! Time runs faster (`MIGRATE_TIME_SCALE`), and metrics are written ahead of it. Nothing here is skipped: without Python the tests fail, and say so.

mod around;
mod balancers;
mod discovery;
mod estate;
mod faults;
mod itself;
mod judge;
mod judging;
mod migration;
mod names;
mod refusals;
mod rules;
mod servers;
mod swap;
mod trips;
